package supervise

import (
	"context"
	"errors"

	"microagent/runtime/driver"
	"microagent/runtime/guest/proto"
)

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
		s.remounting.Lock()
		defer s.remounting.Unlock()
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
		if err := vm.Resize(ctx, cpus, memory); err != nil {
			return err
		}
		s.mu.Lock()
		s.size = &size{cpus, memory}
		s.mu.Unlock()
		if !vm.Plugged(memory) {
			memory = 0
		}
		if err := session.Online(ctx, cpus, memory); err != nil {
			return &driver.Error{Class: driver.ClassOf(driver.ClassName(err)), Op: opResize, Object: name, Err: err, Next: "microagent restart " + name}
		}
		return nil
	})
}
