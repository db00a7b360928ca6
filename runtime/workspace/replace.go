package workspace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/runtime/volume"
)

// replacing is a replacement under way: what the new root file system is made of, and both by their inodes, so that
// whoever comes after an interruption knows how far it got. Old is 0 when there was none, or it was given up.
type replacing struct {
	Key   string `json:"key"`
	Inode uint64 `json:"inode"`
	Old   uint64 `json:"old"`
	Lost  bool   `json:"lost,omitempty"` // the old one was given up: the new one takes its name from it
}

// nextFile is where a new root file system waits for its turn.
const nextFile = "rootfs.next"

// Replace puts a new root file system in place; the old one is kept until the next replacement, with its record.
func (s *Store) Replace(ctx context.Context, spec driver.WorkspaceSpec, p driver.Progress) (driver.Workspace, error) {
	const op = "replace workspace"
	if err := checkSpec(op, spec); err != nil {
		return driver.Workspace{}, err
	}
	unlock, err := s.lock(ctx, op, spec.Name, lockWait)
	if err != nil {
		return driver.Workspace{}, err
	}
	defer unlock()
	r, err := s.stopped(ctx, op, spec.Name)
	if err != nil {
		return driver.Workspace{}, err
	}
	l, err := s.holdRoot(op, spec.Name)
	if err != nil {
		return driver.Workspace{}, err
	}
	if l != nil {
		defer l.Close()
	}
	return s.replace(ctx, op, r, spec, false, p)
}

// replace is Replace of a workspace that is locked and at rest, and whose root file system the caller holds. With lose that one is
// not kept.
func (s *Store) replace(ctx context.Context, op string, r *record, spec driver.WorkspaceSpec, lose bool, p driver.Progress) (driver.Workspace, error) {
	p.Report("root file system of "+spec.Name, 0, 0)
	if err := s.swap(ctx, op, r, spec, lose); err != nil {
		return driver.Workspace{}, &driver.Error{Op: op, Object: spec.Name, Err: err, Next: driver.Next(err)}
	}
	r.ID, r.Replacing = layout.NewID(), nil
	r.Spec, r.Project, r.Tool, r.Updated = spec, spec.Project, s.Tool, s.now()
	if err := s.save(r); err != nil {
		return driver.Workspace{}, err
	}
	return s.observe(r)
}

// swap is safe to interrupt at any step: until the record says otherwise the workspace still has its old root file
// system, under one name or the other, and the new one has never run. With lose the new one is there or the old one, and where
// there is no room for both, the new one or none.
func (s *Store) swap(ctx context.Context, op string, r *record, spec driver.WorkspaceSpec, lose bool) error {
	folder := s.State.Workspace(r.Name)
	root, next := folder.RootFS(), folder.File(nextFile)
	if r.Replacing != nil && r.Replacing.Key == spec.RootFS && inode(root) == r.Replacing.Inode {
		return nil
	}
	if err := s.rollBack(op, r); err != nil {
		return err
	}
	if err := removeIfThere(next); err != nil {
		return err
	}
	err := s.Disks.Place(ctx, spec.RootFS, next)
	if lose && (errors.Is(err, driver.ErrNoSpace) || errors.Is(err, syscall.ENOSPC)) {
		if err := removeIfThere(root); err != nil {
			return err
		}
		err = s.Disks.Place(ctx, spec.RootFS, next)
	}
	if err != nil {
		return err
	}
	r.Replacing = &replacing{Key: spec.RootFS, Inode: inode(next), Lost: lose}
	if !lose {
		r.Replacing.Old = inode(root)
	}
	if err := s.save(r); err != nil {
		return err
	}
	if r.Replacing.Old != 0 {
		if err := s.keepRecord(r); err != nil {
			return err
		}
		if err := os.Rename(root, folder.File(layout.RootFSPrev)); err != nil {
			return err
		}
	}
	if err := os.Rename(next, root); err != nil {
		return err
	}
	return layout.SyncDir(folder.Dir)
}

// setAside says that an interrupted replacement left the workspace's root file system under the name of the one before.
func (r *record) setAside(folder layout.Workspace) bool {
	return r.Replacing != nil && r.Replacing.Old != 0 && inode(folder.File(layout.RootFSPrev)) == r.Replacing.Old
}

// rollBack undoes an interrupted replacement, so that the root file system is the one that the record describes. One whose old
// root file system is gone it ends.
func (s *Store) rollBack(op string, r *record) error {
	if r.Replacing == nil {
		return nil
	}
	folder := s.State.Workspace(r.Name)
	root, prev := folder.RootFS(), folder.File(layout.RootFSPrev)
	wrap := func(err error) error {
		return fmt.Errorf("%s %s: undo the interrupted replacement of its root file system: %w", op, r.Name, err)
	}
	if inode(root) == r.Replacing.Inode && r.Replacing.Lost {
		r.ID, r.Spec.RootFS, r.Replacing = layout.NewID(), r.Replacing.Key, nil
		return s.save(r)
	}
	if inode(root) == r.Replacing.Inode {
		if err := os.Remove(root); err != nil {
			return wrap(err)
		}
	}
	if inode(root) == 0 && r.setAside(folder) {
		if err := os.Rename(prev, root); err != nil {
			return wrap(err)
		}
	}
	if err := removeIfThere(folder.File(nextFile)); err != nil {
		return wrap(err)
	}
	if err := layout.SyncDir(folder.Dir); err != nil {
		return wrap(err)
	}
	r.Replacing = nil
	return s.save(r)
}

// clearRoot makes room for a root file system where there is no record. What lies there and was used is kept as
// the one before; two of them are nobody's to choose between.
func (s *Store) clearRoot(op, name string) error {
	folder := s.State.Workspace(name)
	l, err := s.holdRoot(op, name)
	if err != nil || l == nil {
		return err
	}
	defer l.Close()
	if volume.Pristine(folder.RootFS()) {
		if err := os.Remove(folder.RootFS()); err != nil {
			return fmt.Errorf("%s %s: %w", op, name, err)
		}
		return nil
	}
	prev := folder.File(layout.RootFSPrev)
	if _, err := os.Lstat(prev); err == nil {
		return &driver.Error{
			Class: driver.ErrRefused, Op: op, Object: name,
			Err:  fmt.Errorf("%s holds root file systems of an earlier workspace: %s and %s", folder.Dir, layout.RootFSFile, layout.RootFSPrev),
			Next: "move them away, or choose another name",
		}
	}
	if err := os.Rename(folder.RootFS(), prev); err != nil {
		return fmt.Errorf("%s %s: %w", op, name, err)
	}
	return nil
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// inode is that of the file at path, 0 when there is none.
func inode(path string) uint64 {
	info, err := os.Lstat(path)
	if err != nil {
		return 0
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	return st.Ino
}
