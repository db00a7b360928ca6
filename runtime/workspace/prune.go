package workspace

import (
	"context"
	"errors"
	"fmt"
	"os"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

// Prune removes what replacements and deletions kept, and abandoned workspaces, whose disks are not counted.
func (s *Store) Prune(ctx context.Context, dry bool) (int64, []string, error) {
	if !dry {
		s.sweep(ctx)
	}
	list, err := s.Kept(ctx)
	if err != nil {
		return 0, nil, err
	}
	var freed int64
	var pruned []string
	for _, k := range list {
		if !dry {
			if err := s.pruneOne(ctx, k.Workspace); err != nil {
				return freed, pruned, err
			}
		}
		freed += k.Bytes
		pruned = append(pruned, k.Workspace)
	}
	return freed, pruned, nil
}

func (s *Store) pruneOne(ctx context.Context, name string) error {
	const op = "prune workspace"
	unlock, err := s.lock(ctx, op, name, lockWait)
	if err != nil {
		return err
	}
	defer unlock()
	folder := s.State.Workspace(name)
	r, err := s.load(name)
	if err != nil {
		return err
	}
	if r != nil && r.Replacing != nil {
		return &driver.Error{Class: driver.ErrRefused, Op: op, Object: name,
			Err: errors.New("a replacement of its root file system was interrupted"), Next: "to finish that: microagent start " + name}
	}
	err = errors.Join(removeIfThere(folder.File(layout.RootFSPrev)), removeIfThere(folder.RecordPrev()))
	if err == nil && r == nil {
		err = s.removeIfEmpty(name)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s %s: %w", op, name, err)
	}
	return nil
}
