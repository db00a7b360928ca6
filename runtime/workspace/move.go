package workspace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"microagent/runtime/disk/target"
	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/runtime/lease"
	"microagent/runtime/volume"
)

// moving is where a workspace goes. Its folder decides: while that has the old name it is there, and once it has the new
// one it is what the record says here.
type moving struct {
	To      string `json:"to"`
	Project string `json:"project,omitempty"`
}

// Move gives a stopped workspace another name, and project as its owner. The record says where it goes, the folder gets
// its name in one step, the record follows.
func (s *Store) Move(ctx context.Context, from, to, project string) error {
	const op = "move workspace"
	if from == to {
		return &driver.Error{Class: driver.ErrInvalid, Op: op, Object: from, Err: errors.New("that is its name already"), Next: "microagent list"}
	}
	unlock, err := layout.Both(from, to, func(name string) (func(), error) { return s.lock(ctx, op, name, lockWait) })
	if err != nil {
		return err
	}
	defer unlock()
	r, err := s.stopped(ctx, op, from)
	if err != nil {
		return err
	}
	if there, err := s.load(to); err != nil || there != nil {
		if err == nil {
			err = &driver.Error{Class: driver.ErrExists, Op: op, Object: from, Err: fmt.Errorf("there is a workspace %s already", to), Next: "microagent list"}
		}
		return err
	}
	l, err := s.holdRoot(op, from)
	if err != nil {
		return err
	}
	if l != nil {
		defer l.Close()
	}
	for _, step := range s.moveSteps(r, to, project) {
		if err := step(); err != nil {
			return fmt.Errorf("%s %s to %s: %w", op, from, to, err)
		}
	}
	return nil
}

// moveSteps are what a move does, each whole.
func (s *Store) moveSteps(r *record, to, project string) []func() error {
	from := r.Name
	going, moved := *r, *r
	going.Moving = &moving{to, project}
	moved.Moving = going.Moving
	moved.arrive()
	old, now := s.State.Workspace(from), s.State.Workspace(to)
	return []func() error{
		func() error { return layout.ReplaceRecord(old.Record(), &going) },
		func() error {
			if err := s.makeWay(old, now); err != nil {
				return err
			}
			if err := unix.Rename(old.Dir, now.Dir); err != nil { // an empty folder gives way, and no other does
				return &os.LinkError{Op: "rename", Old: old.Dir, New: now.Dir, Err: err}
			}
			return layout.SyncDir(s.State.Workspaces())
		},
		func() error { return s.save(&moved) },
		func() error { return s.moveHolders(from, &moved) },
	}
}

// makeWay has what is kept at the new name, of a workspace that is gone, go with the one that comes, unless that has its own.
func (s *Store) makeWay(old, now layout.Workspace) error {
	for _, one := range []string{layout.RecordPrev, layout.RootFSPrev} {
		switch {
		case inode(now.File(one)) == 0:
		case inode(old.File(layout.RootFSPrev)) != 0:
			if err := os.Remove(now.File(one)); err != nil {
				return err
			}
		default:
			if err := os.Rename(now.File(one), old.File(one)); err != nil {
				return err
			}
		}
	}
	return nil
}

// arrive makes r the record of what it moves to.
func (r *record) arrive() {
	r.Name, r.Project, r.Spec.Name, r.Spec.Project = r.Moving.To, r.Moving.Project, r.Moving.To, r.Moving.Project
	r.Moving = nil
}

// arrived says that r, which lies in the folder of name, is the record of a move that was cut short behind its step.
func (r *record) arrived(name string) bool {
	return r.Kind == kind && r.Format >= 1 && r.Format <= layout.Format && r.Moving != nil && r.Moving.To == name && r.Name != name
}

// moveHolders has the volumes that nobody holds tell of their last holder by its new name.
func (s *Store) moveHolders(from string, r *record) error {
	for _, m := range r.Spec.Mounts {
		if m.Kind != driver.MountVolume {
			continue
		}
		h, err := volume.ReadHolder(s.State, m.Name)
		if err != nil {
			return err
		}
		if h == nil || h.Workspace != from {
			continue
		}
		l, err := target.At(s.State.VolumeImage(m.Name)).Claim(lease.Exclusive)
		if errors.Is(err, driver.ErrBusy) || errors.Is(err, fs.ErrNotExist) {
			continue // there is another holder, or no volume
		}
		if err != nil {
			return err
		}
		h.Workspace = r.Name
		err = volume.WriteHolder(s.State, m.Name, *h)
		l.Close()
		if err != nil {
			return err
		}
	}
	return nil
}
