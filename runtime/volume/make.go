package volume

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"microagent/runtime/disk/ext4/edit"
	"microagent/runtime/disk/ext4/super"
	"microagent/runtime/disk/target"
	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

// fill writes a whole file system into a draft.
type fill func(draft *target.FileDraft) error

// makeSteps are what making a volume with content does, each whole: the record says that it is being made, the image
// appears, the record says no more. Cut short before the image is there, nothing was made; after it, the volume was.
func (s *Store) makeSteps(r *record, content fill) []func() error {
	image := s.State.VolumeImage(r.Name)
	return []func() error{
		func() error {
			r.Making = true
			return layout.WriteJSON(s.State.VolumeRecord(r.Name), r)
		},
		func() error {
			size, err := appear(image, content)
			r.Size = size
			return err
		},
		func() error { return s.save(r) },
	}
}

// make does these steps; what failed leaves nothing.
func (s *Store) make(r *record, content fill) error {
	for _, step := range s.makeSteps(r, content) {
		if err := step(); err != nil {
			if there, look := exists(s.State.VolumeImage(r.Name)); look == nil && !there {
				err = errors.Join(err, s.forget(r.Name))
			}
			return err
		}
	}
	return nil
}

// appear makes an image of what content writes, of the size in bytes that it gives.
func appear(path string, content fill) (size int64, err error) {
	draft, err := target.File(path).Nameless(0o600)
	if err != nil {
		return 0, err
	}
	defer draft.Close()
	if err := content(draft); err != nil {
		return 0, err
	}
	info, err := draft.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), draft.Publish()
}

// finishMakings removes the records of volumes that were never made: who made them was killed. What stays is tried again by
// the next change.
func (s *Store) finishMakings(ctx context.Context, except string) error {
	names, err := s.names()
	if err != nil {
		return err
	}
	for _, name := range names {
		r, err := s.read(name)
		if err != nil || name == except || r == nil || !r.Making {
			continue
		}
		unlock, err := s.State.Lock(ctx, kind, name, 0)
		if err != nil {
			continue // it is being made
		}
		if r, err = s.load(name); err == nil && r == nil {
			_ = s.forget(name)
		}
		unlock()
	}
	return nil
}

// settle replays the journal of a copy, so that it rests on nothing but itself, and gives it an identity and a label of its
// own; own is false where its file system can't have another identity.
func settle(image *os.File, label string) (own bool, err error) {
	info, err := image.Stat()
	if err != nil {
		return false, err
	}
	if err := edit.Recover(image, info.Size()); err != nil {
		return false, err
	}
	var id [16]byte
	_, _ = rand.Read(id[:])
	id[6] = id[6]&0x0F | 0x40 // version 4: random
	id[8] = id[8]&0x3F | 0x80
	return edit.Identify(image, info.Size(), id, label)
}

// relabel is the label that a copy of a volume gets: that of its name where the volume has that of its own.
func relabel(draft *os.File, from, to string) string {
	if sb, err := super.Read(draft); err == nil && sb.Name() == label(from) {
		return label(to)
	}
	return ""
}

// free refuses a name that a volume has already.
func (s *Store) free(op, name string) error {
	r, err := s.load(name)
	if err != nil {
		return err
	}
	info, err := s.stat(name)
	if err != nil {
		return err
	}
	if r == nil && info == nil {
		return nil
	}
	e := &driver.Error{Class: driver.ErrExists, Op: op, Object: name, Err: errors.New("there is a volume of that name already"),
		Next: "choose another name, or look at what it is: microagent volume status " + name}
	if r == nil {
		e.Err = fmt.Errorf("%s is there without a record", s.State.VolumeImage(name))
		e.Next = "to keep it and its data: microagent volume adopt " + name
	}
	return e
}

// wrap says what was being done to what, and what to do about a host that is full.
func wrap(op, object string, err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*driver.Error](err); ok && e.Op == op {
		return err
	}
	e := &driver.Error{Op: op, Object: object, Err: err, Next: driver.Next(err)}
	switch {
	case isFull(err):
		e.Class, e.Next = driver.ErrNoSpace, driver.NextNoSpace
	case errors.Is(err, fs.ErrNotExist):
		e.Class = driver.ErrNotFound
	}
	return e
}

// isFull says that the host has no room.
func isFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }
