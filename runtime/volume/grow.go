package volume

import (
	"context"
	"errors"
	"fmt"

	"microagent/runtime/disk/target"
	"microagent/runtime/driver"
	"microagent/runtime/lease"
	"microagent/schema/quantity"
)

// Grow makes the image larger, then notes the size. While a workspace holds the volume its supervisor does it.
func (s *Store) Grow(ctx context.Context, name string, size int64, by driver.Grower) (driver.Volume, error) {
	const op = "grow volume"
	if err := checkSize(op, name, size); err != nil {
		return driver.Volume{}, err
	}
	unlock, err := s.lock(ctx, op, name)
	if err != nil {
		return driver.Volume{}, err
	}
	defer unlock()
	r, err := s.whole(op, name)
	if err != nil {
		return driver.Volume{}, err
	}
	info, err := s.stat(name)
	if err != nil {
		return driver.Volume{}, err
	}
	switch {
	case size < info.Size():
		return driver.Volume{}, &driver.Error{
			Class: driver.ErrRefused, Op: op, Object: name,
			Err: fmt.Errorf("it has %s, and %s is less; volumes do not shrink", quantity.Size(info.Size()), quantity.Size(size)),
		}
	case size > info.Size():
		if err := s.enlarge(ctx, op, name, size); err != nil {
			return driver.Volume{}, err
		}
	}
	if r.Size != size {
		switch {
		case by == driver.ByApply:
			r.Declared = 0
		case r.Project != "" && r.Declared == 0:
			r.Declared = r.Size
		}
		r.Size = size
		if err := s.save(r); err != nil {
			return driver.Volume{}, err
		}
	}
	return s.Get(ctx, name)
}

func (s *Store) enlarge(ctx context.Context, op, name string, size int64) error {
	c, err := target.At(s.State.VolumeImage(name)).Claim(lease.Exclusive)
	if busy, ok := errors.AsType[*lease.BusyError](err); ok {
		h, _ := ReadHolder(s.State, name)
		if s.GrowLive == nil || h == nil || h.ReadOnly {
			return Busy(s.State, op, name, busy)
		}
		if err := s.GrowLive(ctx, h.Workspace, name, size); err != nil {
			return fmt.Errorf("%s %s in workspace %s: %w", op, name, h.Workspace, err)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", op, name, err)
	}
	defer c.Close()
	if err := c.Grow(size); err != nil {
		return fmt.Errorf("%s %s: %w", op, name, err)
	}
	return nil
}
