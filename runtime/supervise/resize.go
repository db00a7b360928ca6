package supervise

import (
	"context"
	"errors"
	"fmt"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/guest/proto"
	"microagent/runtime/machine"
)

// onlineWait is how long a guest may take to say that it has what it was given, or that it has it not.
const onlineWait = time.Minute

const opResize = "change CPUs and memory of workspace"

// size is what a VM begins with.
type size struct {
	cpus   int
	memory int64
}

// sizeOf is what the VM of the next start of this run has.
func (s *supervisor) sizeOf() (cpus int, memory int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.size != nil {
		return s.size.cpus, s.size.memory
	}
	return s.spec.Workspace.CPUs, s.spec.Workspace.Memory
}

// ResizeVM changes the VM, and then waits for its guest. Killed in between it leaves a VM that has what vm.info says, and a guest
// that takes it into use when this is called again.
func (s calls) ResizeVM(ctx context.Context, cpus int, memory int64) error {
	return s.withGuest(context.WithoutCancel(ctx), opResize, func(ctx context.Context, session *proto.Session) error {
		if err := s.remounting.Acquire(ctx, 1); err != nil {
			return err
		}
		defer s.remounting.Release(1)
		name := s.spec.Workspace.Name
		if !session.Hello().Has(proto.CapOnline) {
			return &driver.Error{
				Class: driver.ErrUnsupported, Op: opResize, Object: name,
				Err: errors.New("its guest's agent is older than that, and has them when it starts"), Next: "microagent restart " + name,
			}
		}
		s.mu.Lock()
		vm := s.vm
		s.mu.Unlock()
		defer s.look(ctx, vm) // also at what was done in part
		r := resize{s.supervisor, vm, session}
		if err := r.settle(ctx, cpus); err != nil {
			return err
		}
		if err := vm.Resize(ctx, cpus, memory); err != nil {
			return err
		}
		s.mu.Lock()
		s.size = &size{cpus, memory}
		s.mu.Unlock()
		return r.online(ctx, cpus, memory)
	})
}

// resize changes the size of one guest.
type resize struct {
	*supervisor
	vm      *machine.VM
	session *proto.Session
}

// settle waits until the guest has what its VM has, where that is to change: to cloud-hypervisor a CPU that is on its way out counts
// as one that is there, and so would none be added in its place.
func (r resize) settle(ctx context.Context, cpus int) error {
	has, _, err := r.vm.Look(ctx)
	if err != nil || has.Fixed != "" || has.CPUs == cpus {
		return err
	}
	return r.online(ctx, has.CPUs, has.Memory)
}

func (r resize) online(ctx context.Context, cpus int, memory int64) error {
	if !r.vm.Plugged(memory) {
		memory = 0
	}
	waiting, cancel := context.WithTimeoutCause(ctx, onlineWait, fmt.Errorf("it did not take CPUs and memory into use within %s", onlineWait))
	defer cancel()
	err := r.session.Online(waiting, cpus, memory)
	if errors.Is(waiting.Err(), context.DeadlineExceeded) {
		return r.explainSilence(opResize, context.Cause(waiting))
	}
	if err == nil || driver.Next(err) != "" || errors.Is(err, driver.ErrUnavailable) { // the last is told by how the guest ended
		return err
	}
	name := r.spec.Workspace.Name
	return &driver.Error{Class: driver.ClassOf(driver.ClassName(err)), Op: opResize, Object: name, Err: err, Next: "microagent restart " + name}
}
