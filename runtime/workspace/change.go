package workspace

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"microagent/runtime/disk/target"
	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/runtime/lease"
	"microagent/runtime/supervise/control"
)

// Create places the root file system, then writes the record. A root file system that lies there without a record is
// kept as the one before, unless it is what an interrupted Create left. The record of a one-shot workspace comes first,
// so that what a killed Create left is known to be abandoned.
func (s *Store) Create(ctx context.Context, spec driver.WorkspaceSpec, p driver.Progress) (driver.Workspace, error) {
	const op = "create workspace"
	if err := checkSpec(op, spec); err != nil {
		return driver.Workspace{}, err
	}
	s.swept.Do(func() { s.sweep(ctx) }) // once: it reads every record there is
	unlock, err := s.lock(ctx, op, spec.Name, lockWait)
	if err != nil {
		return driver.Workspace{}, err
	}
	defer unlock()
	old, err := s.load(spec.Name)
	if err != nil {
		return driver.Workspace{}, err
	}
	if old != nil {
		return driver.Workspace{}, &driver.Error{
			Class: driver.ErrExists, Op: op, Object: spec.Name, Next: driver.NextTaken(spec.Name),
		}
	}
	folder := s.State.Workspace(spec.Name)
	if err := os.MkdirAll(folder.Dir, 0o700); err != nil {
		return driver.Workspace{}, fmt.Errorf("%s %s: %w", op, spec.Name, err)
	}
	if err := s.clearRoot(op, spec.Name); err != nil {
		return driver.Workspace{}, err
	}
	at := s.now()
	r := &record{
		Meta: layout.Meta{Format: layout.Format, Kind: kind, Name: spec.Name, ID: layout.NewID(), Project: spec.Project, Tool: s.Tool},
		Spec: spec, Created: at, Updated: at,
	}
	if spec.OneShot {
		if err := s.own(r); err != nil {
			return driver.Workspace{}, err
		}
	}
	p.Report("root file system of "+spec.Name, 0, 0)
	if err := s.Disks.Place(ctx, spec.RootFS, folder.RootFS()); err != nil {
		err = &driver.Error{Op: op, Object: spec.Name, Err: err, Next: driver.Next(err)}
		if spec.OneShot {
			err = errors.Join(err, s.removeFiles(spec.Name))
		}
		return driver.Workspace{}, err
	}
	if !spec.OneShot {
		if err := s.save(r); err != nil {
			return driver.Workspace{}, err
		}
	}
	return s.observe(r)
}

func checkSpec(op string, spec driver.WorkspaceSpec) error {
	if err := checkName(op, spec.Name); err != nil {
		return err
	}
	var why string
	mounts := checkMounts(spec.Mounts)
	switch {
	case mounts != nil:
		return &driver.Error{
			Class: driver.ErrInvalid, Op: op, Object: spec.Name, Err: mounts, Next: "mount it somewhere else, such as /work; two readers may share a disk",
		}
	case spec.RootFS == "":
		why = "it names no root file system"
	case spec.CPUs < 1:
		why = "it has no CPU"
	case spec.Memory <= 0:
		why = "it has no memory"
	case spec.Process.Mode != driver.ModeIdle && len(spec.Process.Argv) == 0:
		why = "it has no command, and its image gives none"
	default:
		return nil
	}
	return &driver.Error{Class: driver.ErrInvalid, Op: op, Object: spec.Name, Err: errors.New(why)}
}

// stopped gives the record of a workspace that does not run, and what an earlier supervisor left is ended.
func (s *Store) stopped(ctx context.Context, op, name string) (*record, error) {
	r, err := s.need(op, name)
	if err != nil {
		return nil, err
	}
	return r, s.atRest(ctx, op, name)
}

// atRest refuses while name runs, once what a dead supervisor left of it is ended.
func (s *Store) atRest(ctx context.Context, op, name string) error {
	folder := s.State.Workspace(name)
	if err := control.Reclaim(ctx, folder); err != nil {
		return fmt.Errorf("%s %s: %w", op, name, err)
	}
	run, err := control.ReadRun(folder)
	if err != nil {
		return fmt.Errorf("%s %s: %w", op, name, err)
	}
	if run != nil && run.Phase.Alive() {
		return runs(op, name)
	}
	return nil
}

func runs(op, name string) error {
	return &driver.Error{
		Class: driver.ErrBusy, Op: op, Object: name, Err: errors.New("it runs"), Next: "microagent halt " + name,
	}
}

// holdRoot takes the lease of the root file system for a change, nil when the file is missing.
func (s *Store) holdRoot(op, name string) (*target.Claim, error) {
	l, err := target.At(s.State.Workspace(name).RootFS()).Claim(lease.Exclusive)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.Is(err, driver.ErrBusy):
		return nil, &driver.Error{Class: driver.ErrBusy, Op: op, Object: name, Err: err, Next: "microagent halt " + name}
	}
	return l, err
}

// Update writes a new spec, which a run under way does not notice. The root file system and where it came from
// stay.
func (s *Store) Update(ctx context.Context, spec driver.WorkspaceSpec) (driver.Workspace, error) {
	const op = "update workspace"
	if err := checkSpec(op, spec); err != nil {
		return driver.Workspace{}, err
	}
	unlock, err := s.lock(ctx, op, spec.Name, lockWait)
	if err != nil {
		return driver.Workspace{}, err
	}
	defer unlock()
	r, err := s.need(op, spec.Name)
	if err != nil {
		return driver.Workspace{}, err
	}
	spec.RootFS = r.Spec.RootFS
	if same(spec, r.Spec) {
		return s.observe(r)
	}
	switch {
	case spec.ImageDigest != r.Spec.ImageDigest:
		return driver.Workspace{}, &driver.Error{
			Class: driver.ErrInvalid, Op: op, Object: spec.Name, Err: errors.New("another image needs another root file system"),
		}
	case spec.DiskSize < r.Spec.DiskSize:
		return driver.Workspace{}, &driver.Error{
			Class: driver.ErrRefused, Op: op, Object: spec.Name,
			Err:  fmt.Errorf("its disk has %d bytes and does not shrink to %d", r.Spec.DiskSize, spec.DiskSize),
			Next: "to begin anew: microagent delete " + spec.Name,
		}
	}
	r.Spec, r.Project, r.Tool, r.Updated = spec, spec.Project, s.Tool, s.now()
	if !spec.OneShot {
		r.Owner = nil
	}
	if err := s.save(r); err != nil {
		return driver.Workspace{}, err
	}
	return s.observe(r)
}

// same compares specs as the record holds them, with the engine's own form without blanks.
func same(a, b driver.WorkspaceSpec) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// Delete removes a stopped workspace: the record says deleting, the files go, the record and the folder go.
func (s *Store) Delete(ctx context.Context, name string) error {
	const op = "delete workspace"
	unlock, err := s.lock(ctx, op, name, lockWait)
	if err != nil {
		return err
	}
	defer unlock()
	r, err := s.load(name)
	if errors.Is(err, driver.ErrCorrupt) { // then its name is all that is needed of it
		r, err = &record{Meta: layout.Meta{Format: layout.Format, Kind: kind, Name: name, ID: layout.NewID(), Tool: s.Tool}}, nil
	}
	if err != nil || r == nil {
		return err
	}
	if err := s.atRest(ctx, op, name); err != nil {
		return err
	}
	return s.remove(op, r)
}

// remove deletes a workspace that nobody runs. The caller has its lock.
func (s *Store) remove(op string, r *record) error {
	l, err := s.holdRoot(op, r.Name)
	if err != nil {
		return err
	}
	if l != nil {
		defer l.Close()
	}
	r.Deleting = true
	// A full disk has no room for that word, and deleting is what makes some. Killed now, it leaves a workspace without
	// its root file system, which deleting again removes.
	if err := layout.WriteJSON(s.State.Workspace(r.Name).Record(), r); err != nil && !errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("write record of workspace %s: %w", r.Name, err)
	}
	return s.removeFiles(r.Name)
}

// removeFiles removes a workspace's folder, its record last.
func (s *Store) removeFiles(name string) error {
	folder := s.State.Workspace(name)
	entries, err := os.ReadDir(folder.Dir)
	if err != nil {
		return fmt.Errorf("delete workspace %s: %w", name, err)
	}
	for _, e := range entries {
		if e.Name() == layout.RecordFile {
			continue
		}
		if err := os.RemoveAll(folder.File(e.Name())); err != nil {
			return fmt.Errorf("delete workspace %s: %w", name, err)
		}
	}
	if err := layout.SyncDir(folder.Dir); err != nil {
		return fmt.Errorf("delete workspace %s: %w", name, err)
	}
	if err := os.RemoveAll(folder.Dir); err != nil {
		return fmt.Errorf("delete workspace %s: %w", name, err)
	}
	return layout.SyncDir(s.State.Workspaces())
}
