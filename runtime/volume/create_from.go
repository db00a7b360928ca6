package volume

import (
	"context"
	"fmt"

	"microagent/runtime/disk/target"
	"microagent/runtime/driver"
	"microagent/schema/quantity"
)

// lockWith locks a volume that is to be made, and the one whose content it gets.
func (s *Store) lockWith(ctx context.Context, op string, spec driver.VolumeSpec) (func(), error) {
	if from, _ := cut(spec.From); from != "" && from != spec.Name {
		return s.lockBoth(ctx, op, spec.Name, from)
	}
	return s.lock(ctx, op, spec.Name)
}

// createFrom makes a volume with the content of a source. What was cut short before is begun again.
func (s *Store) createFrom(ctx context.Context, op string, spec driver.VolumeSpec) (driver.Volume, bool, error) {
	fresh := s.newRecord(spec.Name, spec.Project, spec.Size)
	from, _ := cut(spec.From)
	err := s.reading(ctx, op, spec.From, func(ctx context.Context, image origin) error {
		info, err := image.Stat()
		if err != nil {
			return err
		}
		if info.Size() > spec.Size {
			return &driver.Error{Class: driver.ErrRefused, Op: op, Object: spec.Name,
				Err:  fmt.Errorf("%s has %s, and it is to have %s", spec.From, quantity.Size(info.Size()), quantity.Size(spec.Size)),
				Next: "give it as much: size: " + quantity.Size(info.Size()).Text()}
		}
		return s.make(&fresh, func(draft *target.FileDraft) error {
			if err := image.copyTo(ctx, draft); err != nil {
				return err
			}
			if _, err := settle(draft.File, relabel(image.File, from, spec.Name)); err != nil {
				return err
			}
			return draft.Truncate(spec.Size)
		})
	})
	if err != nil {
		return driver.Volume{}, false, wrap(op, spec.Name, err)
	}
	v, err := s.Get(ctx, spec.Name)
	return v, true, err
}
