package workspace

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

// restoring is a restore under way: what the workspace becomes once its root file system is the one that was kept, which
// its inode tells.
type restoring struct {
	Inode uint64 `json:"inode"`
	Was   record `json:"was"`
}

// Restore brings back what was kept of a workspace. What it has now is kept in its place.
func (s *Store) Restore(ctx context.Context, name string) (driver.Workspace, error) {
	const op = "restore workspace"
	unlock, err := s.lock(ctx, op, name, lockWait)
	if err != nil {
		return driver.Workspace{}, err
	}
	defer unlock()
	r, err := s.load(name)
	if err != nil {
		return driver.Workspace{}, err
	}
	if r == nil {
		r, err = s.revive(op, name)
	} else {
		r, err = s.exchange(ctx, op, r)
	}
	if err != nil {
		return driver.Workspace{}, err
	}
	return s.observe(r)
}

func nothingKept(op, name string) error {
	return &driver.Error{Class: driver.ErrNotFound, Op: op, Object: name, Err: errors.New("nothing of it was kept"), Next: "microagent list --kept"}
}

// revive brings a workspace back that was deleted: its root file system, then its record.
func (s *Store) revive(op, name string) (*record, error) {
	folder := s.State.Workspace(name)
	root, prev := folder.RootFS(), folder.File(layout.RootFSPrev)
	k := s.loadKept(name)
	switch {
	case inode(prev) == 0 && (inode(root) == 0 || k == nil):
		return nil, nothingKept(op, name)
	case k == nil:
		return nil, &driver.Error{Class: driver.ErrRefused, Op: op, Object: name,
			Err: fmt.Errorf("%s is there, and what it was made of is not known", prev), Next: "microagent list --kept"}
	}
	for _, step := range s.reviveSteps(k) {
		if err := step(); err != nil {
			return nil, fmt.Errorf("%s %s: %w", op, name, err)
		}
	}
	return &k.record, nil
}

// reviveSteps are those of revive. Cut short behind the first, the same again does the rest, and so does a Create, which
// keeps what it finds.
func (s *Store) reviveSteps(k *kept) []func() error {
	folder := s.State.Workspace(k.Name)
	k.Updated, k.Tool = s.now(), s.Tool
	return []func() error{
		func() error {
			if inode(folder.RootFS()) != 0 {
				return nil
			}
			if err := os.Rename(folder.File(layout.RootFSPrev), folder.RootFS()); err != nil {
				return err
			}
			return layout.SyncDir(folder.Dir)
		},
		func() error { return s.save(&k.record) },
		func() error { return removeIfThere(folder.RecordPrev()) },
	}
}

// exchange has a workspace and what was kept of it change places.
func (s *Store) exchange(ctx context.Context, op string, r *record) (*record, error) {
	name, folder := r.Name, s.State.Workspace(r.Name)
	if err := s.atRest(ctx, op, name); err != nil {
		return nil, err
	}
	if err := s.rollBack(op, r); err != nil {
		return nil, err
	}
	if inode(folder.File(layout.RootFSPrev)) == 0 {
		return nil, nothingKept(op, name)
	}
	l, err := s.holdRoot(op, name)
	if err != nil {
		return nil, err
	}
	if l != nil {
		defer l.Close()
	}
	was := *r
	if k := s.loadKept(name); k != nil {
		was = k.record
		was.Project, was.Spec.Project = r.Project, r.Spec.Project
	} else { // nobody knows what it was made of
		was.ID = layout.NewID()
	}
	was.Updated, was.Tool = s.now(), s.Tool
	for _, step := range s.exchangeSteps(r, was) {
		if err := step(); err != nil {
			return nil, fmt.Errorf("%s %s: %w", op, name, err)
		}
	}
	return &was, nil
}

// exchangeSteps are those of exchange. Its second decides: before it the workspace is r, and after it was.
func (s *Store) exchangeSteps(r *record, was record) []func() error {
	folder := s.State.Workspace(r.Name)
	r.Restoring = &restoring{Inode: inode(folder.File(layout.RootFSPrev)), Was: was}
	return []func() error{
		func() error { return s.save(r) },
		func() error { return s.exchangeRoots(folder) },
		func() error { return s.keepFor(r) },
		func() error { return s.save(&was) },
	}
}

// exchangeRoots has the two root file systems change their names, or gives the one that is there its new one.
func (s *Store) exchangeRoots(folder layout.Workspace) error {
	root, prev, next := folder.RootFS(), folder.File(layout.RootFSPrev), folder.File(nextFile)
	if inode(root) == 0 {
		if err := os.Rename(prev, root); err != nil {
			return err
		}
		return layout.SyncDir(folder.Dir)
	}
	err := unix.Renameat2(unix.AT_FDCWD, prev, unix.AT_FDCWD, root, unix.RENAME_EXCHANGE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // a file system without that flag: see settle
		for _, m := range [][2]string{{root, next}, {prev, root}, {next, prev}} {
			if err = os.Rename(m[0], m[1]); err != nil {
				break
			}
		}
	}
	if err != nil {
		return err
	}
	return layout.SyncDir(folder.Dir)
}

// keepFor writes the record of what is kept now, which r describes.
func (s *Store) keepFor(r *record) error {
	folder := s.State.Workspace(r.Name)
	if inode(folder.File(layout.RootFSPrev)) == 0 {
		return removeIfThere(folder.RecordPrev())
	}
	k := kept{record: *r, Since: s.now()}
	k.Restoring, k.Replacing, k.Moving, k.Owner = nil, nil, nil, nil
	return layout.WriteJSON(folder.RecordPrev(), &k)
}

// restored says that the root file system is the one that r restores.
func (s *Store) restored(r *record) bool {
	return r.Restoring != nil && inode(s.State.Workspace(r.Name).RootFS()) == r.Restoring.Inode
}

// settle finishes or undoes a restore that was interrupted. The caller has the workspace's lock.
func (s *Store) settle(r *record) error {
	folder := s.State.Workspace(r.Name)
	root, prev, next := folder.RootFS(), folder.File(layout.RootFSPrev), folder.File(nextFile)
	if !s.restored(r) {
		if inode(root) == 0 && inode(next) != 0 {
			if err := os.Rename(next, root); err != nil {
				return err
			}
		}
		r.Restoring = nil
		return s.save(r)
	}
	if inode(prev) == 0 && inode(next) != 0 {
		if err := os.Rename(next, prev); err != nil {
			return err
		}
	}
	was := r.Restoring.Was
	if err := s.keepFor(r); err != nil {
		return err
	}
	return s.save(&was)
}
