package supervise

import (
	"context"
	"reflect"
	"slices"
	"sync"
	"time"

	"microagent/ch"
	"microagent/runtime/machine"
)

// lookLimit is how long a VMM may take to say what its VM has.
const lookLimit = 5 * time.Second

// changesVM says whether an event tells of something that vm.info shows, whoever did it. That a disk was added is told when the
// guest has found it.
func changesVM(e ch.Event) bool {
	return e.Is("vm", "resized") || e.Is("vm", "device-removed") || e.Is("virtio-device", "activated") || e.Is("vm", "paused") || e.Is("vm", "resumed")
}

// look asks the VMM what its VM has, so that run.json tells it to who compares it with what is declared; what can't be asked stays
// as it was. The caller has remounting.
func (s *supervisor) look(ctx context.Context, vm *machine.VM) {
	if s.see(ctx, vm) {
		if err := s.saveRun(); err != nil {
			s.log.Warn("write what the VMM says", "error", err)
		}
	}
}

// see is look that only says whether it is something else than before.
func (s *supervisor) see(ctx context.Context, vm *machine.VM) (changed bool) {
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	has, files, err := vm.Look(ctx)
	if err != nil {
		if ctx.Err() == nil {
			s.log.Warn("look at the VM", "error", err)
		}
		return false
	}
	for _, d := range s.attached() {
		if _, there := files[d.Machine.Serial]; !there && !d.Leaving {
			has.Lacks = append(has.Lacks, d.Mount.Path)
		}
		delete(files, d.Machine.Serial)
	}
	for serial, file := range files {
		if file == "" {
			file = serial
		}
		has.Foreign = append(has.Foreign, file)
	}
	slices.Sort(has.Foreign)
	s.mu.Lock()
	defer s.mu.Unlock()
	changed = !reflect.DeepEqual(s.seen, &has)
	s.seen = &has
	return changed
}

// lookFirst is for a guest that is about to be ready, which is written then.
func (s *supervisor) lookFirst(ctx context.Context, vm *machine.VM) {
	if s.remounting.Acquire(ctx, 1) != nil {
		return
	}
	defer s.remounting.Release(1)
	s.mu.Lock()
	s.seen = nil
	s.mu.Unlock()
	s.see(ctx, vm)
}

// followVM looks again whenever the VM may have changed, until stop, which returns when nobody looks any more.
func (s *supervisor) followVM(ctx context.Context, w *watch) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var looking sync.WaitGroup
	looking.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-w.changed:
			}
			if s.remounting.Acquire(ctx, 1) != nil {
				return
			}
			s.look(ctx, w.vm)
			s.remounting.Release(1)
		}
	})
	return func() { cancel(); looking.Wait() }
}
