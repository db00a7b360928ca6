package volume

import (
	"context"
	"errors"
	"os"

	"microagent/runtime/disk/target"
	"microagent/runtime/driver"
	"microagent/runtime/lease"
)

// Clone makes a volume with the content of another as it is now.
func (s *Store) Clone(ctx context.Context, from, to string) (driver.Cloned, error) {
	const op = "clone volume"
	unlock, err := s.lockBoth(ctx, op, from, to)
	if err != nil {
		return driver.Cloned{}, err
	}
	defer unlock()
	if err := s.free(op, to); err != nil {
		return driver.Cloned{}, err
	}
	fresh := s.newRecord(to, "", 0)
	var out driver.Cloned
	err = s.reading(ctx, op, from, func(ctx context.Context, image *os.File) error {
		return s.make(&fresh, func(draft *target.FileDraft) error {
			if err := target.Copy(ctx, draft, image); err != nil {
				return err
			}
			out.OwnIdentity, err = settle(draft.File, relabel(image, from, to))
			return err
		})
	})
	if err != nil {
		return driver.Cloned{}, wrap(op, from, err)
	}
	out.Volume, err = s.Get(ctx, to)
	return out, err
}

// reading gives do the image of a volume while nobody changes it.
func (s *Store) reading(ctx context.Context, op, name string, do func(ctx context.Context, image *os.File) error) error {
	if _, err := s.whole(op, name); err != nil {
		return err
	}
	c, err := target.At(s.State.VolumeImage(name)).Claim(lease.Shared)
	if busy, ok := errors.AsType[*lease.BusyError](err); ok {
		return Busy(s.State, op, name, busy)
	}
	if err != nil {
		return wrap(op, name, err)
	}
	defer c.Close()
	return do(ctx, c.File())
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
