package volume

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"microagent/runtime/disk/ext4/edit"
	"microagent/runtime/disk/ext4/super"
	"microagent/runtime/disk/target"
	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

// fill writes a whole file system into a draft.
type fill func(draft *target.FileDraft) error

// birth is an image and its record on their way to their names. The record is there twice: as of what is being made, and as
// of what is.
type birth struct {
	image         *target.FileDraft
	making, whole *layout.Draft
}

// birthSteps are what making something with content does, each whole: all of it is written and synced at once, without a name;
// the record says that it is being made, and the image appears; the record says no more. Cut short before the image is there,
// nothing was made; after it, all was. Names are durable in the order that they came in where the file system has a journal.
// Elsewhere the image may be without its record after a power cut, which is told of. note writes size and state into the record.
func birthSteps(image, record string, content fill, note func(image *os.File, size int64, making bool) layout.Record) (steps []func() error, end func()) {
	b := &birth{}
	return []func() error{
		func() error { return b.write(image, record, content, note) },
		func() error { return b.making.Rename() },
		func() error {
			if err := b.image.Link(); err != nil {
				return err
			}
			return layout.SyncDir(filepath.Dir(image))
		},
		func() error { return b.whole.Rename() },
	}, b.close
}

func (b *birth) write(image, record string, content fill, note func(image *os.File, size int64, making bool) layout.Record) (err error) {
	if b.image, err = target.File(image).Nameless(0o600); err != nil {
		return err
	}
	if err := content(b.image); err != nil {
		return err
	}
	info, err := b.image.Stat()
	if err != nil {
		return err
	}
	if b.making, err = layout.NewRecordDraft(record, note(b.image.File, info.Size(), true)); err != nil {
		return err
	}
	if b.whole, err = layout.NewRecordDraft(record, note(b.image.File, info.Size(), false)); err != nil {
		return err
	}
	return layout.SyncAll(b.image.Draft, b.making, b.whole)
}

func (b *birth) close() {
	if b.image != nil {
		_ = b.image.Close()
	}
	for _, d := range []*layout.Draft{b.making, b.whole} {
		if d != nil {
			_ = d.Close()
		}
	}
}

// makeSteps are the birthSteps of a volume.
func (s *Store) makeSteps(r *record, content fill) (steps []func() error, end func()) {
	return birthSteps(s.State.VolumeImage(r.Name), s.State.VolumeRecord(r.Name), content, func(image *os.File, size int64, making bool) layout.Record {
		r.learnOf(image)
		r.Size, r.Making = size, making
		return r
	})
}

// make does these steps; what failed leaves nothing.
func (s *Store) make(r *record, content fill) error {
	steps, end := s.makeSteps(r, content)
	defer end()
	for _, step := range steps {
		if err := step(); err != nil {
			if there, look := exists(s.State.VolumeImage(r.Name)); look == nil && !there {
				err = errors.Join(err, s.forget(r.Name))
			}
			return err
		}
	}
	return nil
}

// born is a volume that was made this moment; whoever attaches it, does so from now on.
func (s *Store) born(r *record) (driver.Volume, error) {
	info, err := s.stat(r.Name)
	if err != nil {
		return driver.Volume{}, err
	}
	return *s.describe(r.Name, r, info), nil
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
