package workspace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

// Prune removes what replacements kept, and abandoned workspaces, whose disks are not counted.
func (s *Store) Prune(ctx context.Context, dry bool) (int64, []string, error) {
	if !dry {
		s.sweep(ctx)
	}
	list, err := s.List(ctx)
	if err != nil {
		return 0, nil, err
	}
	var freed int64
	var pruned []string
	for _, ws := range list {
		n, err := s.pruneOne(ctx, ws.Spec.Name, dry)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return freed, pruned, err
		}
		freed += n
		pruned = append(pruned, ws.Spec.Name)
	}
	return freed, pruned, nil
}

// pruneOne is fs.ErrNotExist when there is nothing to remove.
func (s *Store) pruneOne(ctx context.Context, name string, dry bool) (int64, error) {
	prev := s.State.Workspace(name).File(layout.RootFSPrev)
	info, err := os.Lstat(prev)
	if err != nil {
		return 0, err
	}
	bytes := layout.Allocated(info)
	if dry {
		return bytes, nil
	}
	const op = "prune workspace"
	unlock, err := s.lock(ctx, op, name, lockWait)
	if err != nil {
		return 0, err
	}
	defer unlock()
	r, err := s.load(name)
	if err != nil {
		return 0, err
	}
	if r == nil || r.Replacing != nil {
		return 0, &driver.Error{Class: driver.ErrRefused, Op: op, Object: name,
			Err: errors.New("a replacement of its root file system was interrupted"), Next: "to finish that: microagent start " + name}
	}
	if err := os.Remove(prev); err != nil {
		return 0, fmt.Errorf("%s %s: %w", op, name, err)
	}
	return bytes, nil
}
