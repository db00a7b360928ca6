package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"microagent/runtime/disk/target"
	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/runtime/lease"
)

// hold takes the volume's exclusive lease for a change; the error names who has it.
func (s *Store) hold(op, name string) (*target.Claim, error) {
	c, err := target.At(s.State.VolumeImage(name)).Claim(lease.Exclusive)
	if busy, ok := errors.AsType[*lease.BusyError](err); ok {
		return nil, Busy(s.State, op, name, busy)
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", op, name, err)
	}
	return c, nil
}

// Busy turns a refused lease on a volume's image into the error for its user: the holder's file names the workspace.
func Busy(state layout.State, op, name string, busy *lease.BusyError) error {
	e := &driver.Error{Class: driver.ErrBusy, Op: op, Object: name, Err: busy, Next: "try again when it is free"}
	if len(busy.Holders) > 0 {
		e.Err = errors.New("it is in use by " + strings.Join(busy.Holders, ", "))
	}
	if busy.Next != "" {
		e.Next = busy.Next
		return e
	}
	if h, _ := ReadHolder(state, name); h != nil {
		// The note is of the last holder; who took the lease this moment has not written it yet.
		p := lease.Process{PID: h.PID, BootID: h.BootID, Start: h.Start}
		if p.Alive() {
			e.Err = fmt.Errorf("it is attached to workspace %s (pid %d)", h.Workspace, h.PID)
			e.Next = "microagent halt " + h.Workspace
		} else if len(busy.Holders) == 0 {
			e.Err = fmt.Errorf("it is in use by what workspace %s left running", h.Workspace)
			e.Next = "microagent halt " + h.Workspace
		}
	}
	return e
}

// Delete removes record and data of a volume: the record says deleting, the image goes, the record goes.
func (s *Store) Delete(ctx context.Context, name string) error {
	const op = "delete volume"
	unlock, err := s.lock(ctx, op, name)
	if err != nil {
		return err
	}
	defer unlock()
	r, err := s.load(name)
	if err != nil {
		return err
	}
	info, err := s.stat(name)
	if err != nil || r == nil && info == nil {
		return err
	}
	if r != nil && r.Protected {
		return &driver.Error{
			Class: driver.ErrRefused, Op: op, Object: name, Err: errors.New("it is protected"),
			Next: "to lift it: microagent volume unprotect " + name,
		}
	}
	if info != nil {
		l, err := s.hold(op, name)
		if err != nil {
			return err
		}
		defer l.Close()
	}
	if r != nil {
		r.Deleting = true
		// A full disk has no room for that word, and deleting is what makes some. Killed now, it leaves a record
		// without an image, which deleting again removes.
		if err := layout.WriteJSON(s.State.VolumeRecord(name), r); err != nil && !errors.Is(err, syscall.ENOSPC) {
			return fmt.Errorf("write record of volume %s: %w", name, err)
		}
	}
	return s.finishDelete(name)
}

// finishDelete removes the files of a volume whose record says deleting, or that has none.
func (s *Store) finishDelete(name string) error {
	for _, path := range []string{s.State.VolumeImage(name), s.State.VolumeHolder(name), s.State.VolumeRecord(name)} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("delete volume %s: %w", name, err)
		}
		if err := layout.SyncDir(s.State.Volumes()); err != nil {
			return fmt.Errorf("delete volume %s: %w", name, err)
		}
	}
	return nil
}

// finishDeletes ends the deletions that were interrupted, except that of except, which the caller looks after. What can't be
// ended is no volume, and tried again by the next change.
func (s *Store) finishDeletes(ctx context.Context, except string) error {
	names, err := s.names()
	if err != nil {
		return err
	}
	for _, name := range names {
		r, err := s.load(name)
		if err != nil || name == except || r == nil || !r.Deleting {
			continue
		}
		unlock, err := s.State.Lock(ctx, kind, name, 0)
		if err != nil {
			continue
		}
		if r, err = s.load(name); err == nil && r != nil && r.Deleting {
			_ = s.finishDelete(name)
		}
		unlock()
	}
	return nil
}
