package workspace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

// kept is the record that a root file system had which is not in use any more: rootfs.prev, beside it. Where that one lies
// without this, an older microagent left it, or its record could not be read.
type kept struct {
	record
	Since time.Time `json:"since"`
}

// Retire takes a stopped workspace away but for its root file system and the record of that: the record says so, the root
// file system gets its other name, all else goes, the record last.
func (s *Store) Retire(ctx context.Context, name string) error {
	const op = "retire workspace"
	unlock, err := s.lock(ctx, op, name, lockWait)
	if err != nil {
		return err
	}
	defer unlock()
	r, err := s.load(name)
	if errors.Is(err, driver.ErrCorrupt) { // then the bytes alone are kept
		r, err = &record{Meta: layout.Meta{Format: layout.Format, Kind: kind, Name: name, ID: layout.NewID(), Tool: s.Tool}}, nil
	}
	if err != nil || r == nil {
		return err
	}
	if err := s.atRest(ctx, op, name); err != nil {
		return err
	}
	if r.Replacing != nil {
		if err := s.rollBack(op, r); err != nil {
			return err
		}
	}
	l, err := s.holdRoot(op, name)
	if err != nil {
		return err
	}
	if l != nil {
		defer l.Close()
	}
	for _, step := range s.retireSteps(r) {
		if err := step(); err != nil {
			return fmt.Errorf("%s %s: %w", op, name, err)
		}
	}
	return nil
}

// retireSteps are what Retire does, each to be done again after an interruption.
func (s *Store) retireSteps(r *record) []func() error {
	name, folder := r.Name, s.State.Workspace(r.Name)
	r.Deleting, r.Retiring, r.Moving = true, true, nil
	return []func() error{
		func() error { return layout.WriteJSON(folder.Record(), r) },
		func() error { return s.setRootAside(r) },
		func() error { return s.removeAllBut(name, layout.RecordFile, layout.RootFSPrev, layout.RecordPrev) },
		func() error { return s.removeAllBut(name, layout.RootFSPrev, layout.RecordPrev) },
		func() error { return s.removeIfEmpty(name) },
	}
}

// finishDelete goes on with what an interrupted Delete or Retire began.
func (s *Store) finishDelete(r *record) error {
	if !r.Retiring {
		return s.removeFiles(r.Name)
	}
	for _, step := range s.retireSteps(r)[1:] {
		if err := step(); err != nil {
			return fmt.Errorf("delete workspace %s: %w", r.Name, err)
		}
	}
	return nil
}

// setRootAside makes the root file system of r the one that is kept, in the place of the one before.
func (s *Store) setRootAside(r *record) error {
	folder := s.State.Workspace(r.Name)
	root, prev := folder.RootFS(), folder.File(layout.RootFSPrev)
	if inode(root) == 0 {
		return nil
	}
	if err := s.keepRecord(r); err != nil {
		return err
	}
	if err := os.Rename(root, prev); err != nil {
		return err
	}
	return layout.SyncDir(folder.Dir)
}

// keepRecord makes room for r's root file system as the one that is kept: what is kept now goes, its record last.
func (s *Store) keepRecord(r *record) error {
	folder := s.State.Workspace(r.Name)
	if err := removeIfThere(folder.File(layout.RootFSPrev)); err != nil {
		return err
	}
	if r.Spec.Name == "" { // of a record that could not be read
		return removeIfThere(folder.RecordPrev())
	}
	k := kept{record: *r, Since: s.now()}
	k.Deleting, k.Retiring, k.Replacing, k.Restoring, k.Moving, k.Owner = false, false, nil, nil, nil, nil
	return layout.WriteJSON(folder.RecordPrev(), &k)
}

// loadKept is the record of what is kept, nil when there is none that can be read.
func (s *Store) loadKept(name string) *kept {
	var k kept
	if err := layout.ReadJSON(s.State.Workspace(name).RecordPrev(), &k); err != nil || k.Kind != kind || k.Format < 1 || k.Format > layout.Format {
		return nil
	}
	k.Name, k.Spec.Name = name, name // it may have moved since
	return &k
}

// removeAllBut removes what is in a workspace's folder, with some exceptions.
func (s *Store) removeAllBut(name string, stays ...string) error {
	folder := s.State.Workspace(name)
	entries, err := os.ReadDir(folder.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if slices.Contains(stays, e.Name()) {
			continue
		}
		if err := os.RemoveAll(folder.File(e.Name())); err != nil {
			return err
		}
	}
	return layout.SyncDir(folder.Dir)
}

// removeIfEmpty removes a folder in which nothing is kept.
func (s *Store) removeIfEmpty(name string) error {
	folder := s.State.Workspace(name)
	if inode(folder.File(layout.RootFSPrev)) != 0 || inode(folder.RootFS()) != 0 {
		return nil
	}
	if err := os.RemoveAll(folder.Dir); err != nil {
		return err
	}
	return layout.SyncDir(s.State.Workspaces())
}

// Kept lists what replacements and deletions kept, by name.
func (s *Store) Kept(ctx context.Context) ([]driver.Kept, error) {
	entries, err := os.ReadDir(s.State.Workspaces())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list what is kept of workspaces: %w", err)
	}
	var list []driver.Kept
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if !e.IsDir() || !layout.ValidName(e.Name()) {
			continue
		}
		k, err := s.keptOf(e.Name())
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look at what is kept of workspace %s: %w", e.Name(), err)
		}
		list = append(list, k)
	}
	return list, nil
}

// keptOf is what is kept of one workspace, fs.ErrNotExist for nothing. What an interrupted replacement set aside is in use.
func (s *Store) keptOf(name string) (driver.Kept, error) {
	folder := s.State.Workspace(name)
	info, err := os.Lstat(folder.File(layout.RootFSPrev))
	if err != nil {
		return driver.Kept{}, err
	}
	r, err := s.load(name)
	if err != nil || r != nil && r.setAside(folder) { // it may be what the workspace needs
		return driver.Kept{}, fs.ErrNotExist
	}
	k := driver.Kept{Workspace: name, Bytes: layout.Allocated(info), Since: info.ModTime().UTC().Truncate(time.Second), Deleted: r == nil}
	if was := s.loadKept(name); was != nil {
		k.Project, k.Image, k.Since, k.Known = was.Spec.Project, was.Spec.Image, was.Since, true
	}
	return k, nil
}
