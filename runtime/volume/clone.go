package volume

import (
	"context"
	"errors"

	"microagent/runtime/disk/target"
	"microagent/runtime/driver"
	"microagent/runtime/lease"
)

// Clone makes a volume with the content of another, or of a snapshot, as it is now.
func (s *Store) Clone(ctx context.Context, source, to string) (driver.Cloned, error) {
	const op = "clone volume"
	from, tag := cut(source)
	if from == to && tag != "" {
		return driver.Cloned{}, &driver.Error{Class: driver.ErrInvalid, Op: op, Object: source, Err: errors.New("a volume gets its own snapshot back by restore"),
			Next: "microagent volume restore " + source}
	}
	unlock, err := s.lockBoth(ctx, op, from, to)
	if err != nil {
		return driver.Cloned{}, err
	}
	defer unlock()
	if err := s.free(op, to); err != nil {
		return driver.Cloned{}, err
	}
	fresh := s.newRecord(to, "", 0)
	own, err := s.copyInto(ctx, op, source, &fresh)
	if err != nil {
		return driver.Cloned{}, wrap(op, source, err)
	}
	v, err := s.born(&fresh)
	return driver.Cloned{Volume: v, OwnIdentity: own}, err
}

// copyInto makes the volume of a record with the content of a source, whose volume the caller has locked; own is false where
// it keeps the source's identity.
func (s *Store) copyInto(ctx context.Context, op, source string, fresh *record) (own bool, err error) {
	from, _ := cut(source)
	err = s.reading(ctx, op, source, func(ctx context.Context, image origin) error {
		return s.make(fresh, func(draft *target.FileDraft) error {
			if err := image.copyTo(ctx, draft); err != nil {
				return err
			}
			own, err = settle(draft.File, relabel(draft.File, from, fresh.Name))
			return err
		})
	})
	return own, err
}

// reading gives do the content of a source while nobody changes it, or while it can be copied from who does.
func (s *Store) reading(ctx context.Context, op, source string, do func(ctx context.Context, image origin) error) error {
	name, tag := cut(source)
	if tag != "" {
		f, _, err := s.snapshotImage(op, name, tag)
		if err != nil {
			return err
		}
		defer f.Close()
		return do(ctx, origin{File: f})
	}
	if _, err := s.whole(op, name); err != nil {
		return err
	}
	c, err := target.At(s.State.VolumeImage(name)).Claim(lease.Shared)
	if busy, ok := errors.AsType[*lease.BusyError](err); ok {
		live, err := s.live(op, name, Busy(s.State, op, name, busy))
		if err != nil {
			return err
		}
		defer live.Close()
		return do(ctx, live)
	}
	if err != nil {
		return wrap(op, name, err)
	}
	defer c.Close()
	return do(ctx, origin{File: c.File()})
}

// whole is the record of a volume whose image is there and is the one that the record is of.
func (s *Store) whole(op, name string) (*record, error) {
	r, err := s.load(name)
	if err != nil {
		return nil, err
	}
	if r == nil {
		return nil, s.notFound(op, name)
	}
	info, err := s.stat(name)
	if err != nil {
		return nil, err
	}
	if info == nil {
		return nil, &driver.Error{Class: driver.ErrRefused, Op: op, Object: name, Err: errors.New("its image is gone"), Next: NextGone(name)}
	}
	return r, r.refuse(op, changed(r, s.State.VolumeImage(name), info.Size()))
}
