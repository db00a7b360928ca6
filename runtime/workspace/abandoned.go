package workspace

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/runtime/lease"
	"microagent/runtime/supervise"
)

const opAbandoned = "remove abandoned workspace"

// own makes this process the owner of a workspace that is being created.
func (s *Store) own(r *record) error {
	self, err := lease.Self()
	if err != nil {
		return fmt.Errorf("create workspace %s: %w", r.Name, err)
	}
	r.Owner = &self
	return s.save(r)
}

// abandoned says whether the workspace was one-shot, for a process that is gone.
func (r *record) abandoned() bool { return r != nil && r.Owner != nil && !r.Owner.Alive() }

// Abandoned removes the workspace of a run whose owner is gone. The run's supervisor calls it at its end.
func Abandoned(ctx context.Context, spec supervise.Spec) error {
	s := &Store{State: layout.State{Dir: spec.State}}
	unlock, err := s.lock(ctx, opAbandoned, spec.Workspace.Name, 0)
	if errors.Is(err, driver.ErrLocked) {
		return nil // whoever works on it decides, and sweep comes later
	}
	if err != nil {
		return err
	}
	defer unlock()
	r, err := s.load(spec.Workspace.Name)
	if err != nil || !r.abandoned() {
		return err
	}
	return s.remove(opAbandoned, r)
}

// sweep removes the abandoned workspaces that have no supervisor any more to do it: it was killed as well, or never
// started. What can't be removed now stays for the next time.
func (s *Store) sweep(ctx context.Context) {
	entries, err := os.ReadDir(s.State.Workspaces())
	if err != nil {
		return
	}
	for _, e := range entries {
		switch r, err := s.loadAny(e.Name()); {
		case err != nil:
		case r == nil:
			_ = s.sweepEmpty(ctx, e.Name())
		case r.abandoned():
			_ = s.sweepOne(ctx, r.Name)
		}
	}
}

// sweepEmpty removes a folder in which nothing is: a Create that was killed made it, or a Delete came to its last step.
func (s *Store) sweepEmpty(ctx context.Context, name string) error {
	unlock, err := s.lock(ctx, opAbandoned, name, 0)
	if err != nil {
		return err
	}
	defer unlock()
	return syscall.Rmdir(s.State.Workspace(name).Dir)
}

func (s *Store) sweepOne(ctx context.Context, name string) error {
	unlock, err := s.lock(ctx, opAbandoned, name, 0)
	if err != nil {
		return err
	}
	defer unlock()
	r, err := s.load(name)
	if err != nil || !r.abandoned() {
		return err
	}
	if r, err = s.stopped(ctx, opAbandoned, name); err != nil {
		return err
	}
	return s.remove(opAbandoned, r)
}
