package workspace

import (
	"context"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/runtime/volume"
)

// Reset puts a fresh root file system of the image in place. The old one is kept, unless nothing was ever written to it: so
// that what a reset kept which was cut short behind this is not lost to the next one.
func (s *Store) Reset(ctx context.Context, name, rootfs string, lose bool, p driver.Progress) (driver.Workspace, error) {
	const op = "reset workspace"
	unlock, err := s.lock(ctx, op, name, lockWait)
	if err != nil {
		return driver.Workspace{}, err
	}
	defer unlock()
	r, err := s.stopped(ctx, op, name)
	if err != nil {
		return driver.Workspace{}, err
	}
	l, err := s.holdRoot(op, name)
	if err != nil {
		return driver.Workspace{}, err
	}
	if l != nil {
		defer l.Close()
	}
	root := s.State.Workspace(name).RootFS()
	if r.Replacing == nil && r.Spec.RootFS == rootfs && volume.Pristine(root) {
		return s.observe(r)
	}
	spec := r.Spec
	spec.RootFS = rootfs
	return s.replace(ctx, op, r, spec, lose, p)
}

// again says that a file is there which notes that the workspace was stopped to run again. It is no part of the record, which
// a run was started with and a stop does not change.
func (s *Store) again(name string) bool { return inode(s.State.Workspace(name).Again()) != 0 }

func (s *Store) noteAgain(name string) error {
	if s.again(name) {
		return nil
	}
	d, err := layout.NewDraft(s.State.Workspace(name).Again(), 0o600)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Publish()
}

func (s *Store) forgetAgain(name string) error { return removeIfThere(s.State.Workspace(name).Again()) }
