package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

// Move gives a volume another name, and project as its owner; identity, protection and data stay. The record says where
// it goes, a record under the new name says where it comes from, the image goes over, the old record goes. Whenever that
// is cut short, exactly one of the two names is a volume, and it is whole: see load.
func (s *Store) Move(ctx context.Context, from, to, project string) error {
	const op = "move volume"
	unlock, err := s.lockBoth(ctx, op, from, to)
	if err != nil {
		return err
	}
	defer unlock()
	r, err := s.movable(op, from, to)
	if err != nil {
		return err
	}
	l, err := s.hold(op, from)
	if err != nil {
		return err
	}
	defer l.Close()
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
	r.learn(s.State.VolumeImage(from))
	going, moved := *r, *r
	going.MovingTo = to
	moved.Name, moved.Project, moved.MovedFrom = to, project, from
	return []func() error{
		func() error { return layout.WriteJSON(s.State.VolumeRecord(from), &going) },
		func() error { return layout.WriteJSON(s.State.VolumeRecord(to), &moved) },
		func() error { return s.renameImage(from, to) },
		func() error { return s.renameSnapshots(from, to) },
		func() error { return s.forget(from) },
		func() error { return s.save(&moved) },
	}
}

// lockBoth locks two volumes, always in the same order.
func (s *Store) lockBoth(ctx context.Context, op, a, b string) (func(), error) {
	if a == b {
		return nil, &driver.Error{Class: driver.ErrInvalid, Op: op, Object: a, Err: errors.New("that is its name already"),
			Next: "microagent volume list"}
	}
	return layout.Both(a, b, func(name string) (func(), error) { return s.lock(ctx, op, name) })
}

// movable is the record of a volume that can become to.
func (s *Store) movable(op, from, to string) (*record, error) {
	r, err := s.whole(op, from)
	if err != nil {
		return nil, err
	}
	other, err := s.load(to)
	if err != nil {
		return nil, err
	}
	there, err := s.stat(to)
	if err != nil {
		return nil, err
	}
	if other != nil || there != nil {
		return nil, &driver.Error{Class: driver.ErrExists, Op: op, Object: from, Err: fmt.Errorf("there is a volume %s already", to),
			Next: "look which of the two has what you need: microagent volume list"}
	}
	if tags, err := s.tags(to); err != nil || len(tags) > 0 {
		if err != nil {
			return nil, err
		}
		return nil, &driver.Error{Class: driver.ErrExists, Op: op, Object: from, Err: fmt.Errorf("there are snapshots of a volume %s that was deleted", to),
			Next: "look whether they are needed: microagent volume snapshots"}
	}
	return r, nil
}

// renameImage replaces nothing, also where somebody puts a file meanwhile.
func (s *Store) renameImage(from, to string) error {
	old, now := s.State.VolumeImage(from), s.State.VolumeImage(to)
	err := unix.Renameat2(unix.AT_FDCWD, old, unix.AT_FDCWD, now, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // a file system without that flag
		err = os.Rename(old, now)
	}
	if err != nil {
		return err
	}
	return layout.SyncDir(s.State.Volumes())
}

// renameSnapshots lets a volume's snapshots follow it. None were under the new name when movable looked, but the folder may
// be there all the same, and a move that goes on after an interruption may find some in it.
func (s *Store) renameSnapshots(from, to string) error {
	err := os.Rename(s.State.SnapshotsOf(from), s.State.SnapshotsOf(to))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, fs.ErrExist):
		err = s.mergeSnapshots(from, to)
	}
	if err != nil {
		return err
	}
	return layout.SyncDir(s.State.Snapshots())
}

// mergeSnapshots is renameSnapshots one by one. One whose tag is taken stays one of the old name.
func (s *Store) mergeSnapshots(from, to string) error {
	tags, err := s.tags(from)
	if err != nil {
		return err
	}
	for _, tag := range tags {
		if taken, err := exists(s.State.SnapshotImage(to, tag)); err != nil || taken {
			if err != nil {
				return err
			}
			continue
		}
		for _, path := range []func(volume, tag string) string{s.State.SnapshotRecord, s.State.SnapshotImage} {
			if err := os.Rename(path(from, tag), path(to, tag)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	if err := layout.SyncDir(s.State.SnapshotsOf(to)); err != nil {
		return err
	}
	return s.dropFolder(from)
}

// forget removes what is left under the old name.
func (s *Store) forget(from string) error {
	for _, path := range []string{s.State.VolumeHolder(from), s.State.VolumeRecord(from)} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return layout.SyncDir(s.State.Volumes())
}

// visible says whether r is a volume: while it is made or moves, the image tells, and of a move's two records one is.
func (s *Store) visible(r *record) (bool, error) {
	if r.Making {
		return exists(s.State.VolumeImage(r.Name))
	}
	if r.MovingTo == "" && r.MovedFrom == "" {
		return true, nil
	}
	image := s.State.VolumeImage
	switch here, err := exists(image(r.Name)); {
	case err != nil || here:
		return here, err
	case r.MovingTo != "": // gone over, unless it is gone for good
		there, err := exists(image(r.MovingTo))
		return !there, err
	}
	old, err := s.read(r.MovedFrom) // not come yet, unless it was here
	return err == nil && (old == nil || old.MovingTo != r.Name), err
}

func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// finishMoves removes what moves that were interrupted left: the record that is no volume. What can't be done of another
// volume than name is tried again by the next change.
func (s *Store) finishMoves(ctx context.Context, name string) error {
	names, err := s.names()
	if err != nil {
		return err
	}
	for _, from := range names {
		r, err := s.read(from)
		if err != nil || r == nil || r.MovingTo == "" {
			continue
		}
		if err := s.finishMove(ctx, from); err != nil && (from == name || r.MovingTo == name) {
			return fmt.Errorf("finish the move of volume %s: %w", from, err)
		}
	}
	return nil
}

func (s *Store) finishMove(ctx context.Context, from string) error {
	unlock, err := s.State.Lock(ctx, kind, from, 0)
	if err != nil {
		return nil // somebody is at it
	}
	defer unlock()
	r, err := s.read(from)
	if err != nil || r == nil || r.MovingTo == "" {
		return err
	}
	unlockTo, err := s.State.Lock(ctx, kind, r.MovingTo, 0)
	if err != nil {
		return nil
	}
	defer unlockTo()
	here, err := exists(s.State.VolumeImage(from))
	if err != nil {
		return err
	}
	if !here {
		if there, err := exists(s.State.VolumeImage(r.MovingTo)); err != nil || !there {
			return err
		}
		if err := s.renameSnapshots(from, r.MovingTo); err != nil {
			return err
		}
		return s.forget(from)
	}
	if half, err := s.read(r.MovingTo); err != nil || half != nil && half.MovedFrom == from {
		if err == nil {
			err = s.forget(r.MovingTo)
		}
		if err != nil {
			return err
		}
	}
	if err := s.save(r); !isFull(err) { // with its image here it is a volume, whatever else its record says
		return err
	}
	return nil
}
