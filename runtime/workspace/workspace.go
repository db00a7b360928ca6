// Package workspace keeps workspaces: a folder each, with the root file system, the record and the newest run. It
// starts a supervisor for a run and speaks to it afterwards; it never writes run.json, never touches a disk that
// somebody holds, and never lets a run that was killed look alive. A change is made by whoever has the workspace's
// lock; reading takes none and writes nothing. cmd wires it into the engine.
package workspace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/kernel"
	"microagent/runtime/layout"
	"microagent/runtime/lease"
	"microagent/runtime/machine"
	"microagent/runtime/supervise/control"
)

// Placer publishes private copies of cached disks; driver.Disks is one.
type Placer interface {
	Place(ctx context.Context, key, path string) error
}

// Kernels gives what a guest boots; *kernel.Store is one.
type Kernels interface {
	Boot(name string, vmm kernel.VMM, cpus int) (kernel.Boot, error)
}

// Store is the driver.Workspaces of a state directory.
type Store struct {
	State   layout.State // its Dir must be absolute for Start
	Disks   Placer
	Kernels Kernels
	VMM     machine.Config
	Tool    string // version, for records and runs
	// Supervisor, Adapter and Gateway are the commands that call supervise.Main, qemu.Main and gateway.Main.
	Supervisor []string
	Adapter    []string
	Gateway    []string
	Now        func() time.Time // nil means time.Now

	swept sync.Once // sweep, by Create
}

var _ driver.Workspaces = (*Store)(nil)

const kind = "workspace"

// Waits for another command that works on the same workspace. A start is waited for until its guest is ready.
const (
	lockWait  = 10 * time.Second
	startWait = 5 * time.Minute
)

type record struct {
	layout.Meta
	Spec    driver.WorkspaceSpec `json:"spec"`
	Created time.Time            `json:"created"`
	Updated time.Time            `json:"updated"`
	// Owner is the process that a one-shot workspace is for.
	Owner *lease.Process `json:"owner,omitempty"`
	// Replacing is set while a new root file system takes the old one's place.
	Replacing *replacing `json:"replacing,omitempty"`
	// Moving is set while it gets another name.
	Moving *moving `json:"moving,omitempty"`
	// Retiring is set beside Deleting where the root file system is kept.
	Retiring bool `json:"retiring,omitempty"`
	// Restoring is set while what was kept takes the root file system's place.
	Restoring *restoring `json:"restoring,omitempty"`
}

func (s *Store) now() time.Time {
	if s.Now != nil {
		return s.Now().UTC().Truncate(time.Millisecond)
	}
	return time.Now().UTC().Truncate(time.Millisecond)
}

// load reads a record, nil when there is none or its workspace is being deleted.
func (s *Store) load(name string) (*record, error) {
	r, err := s.loadAny(name)
	if r != nil && r.Deleting {
		return nil, err
	}
	return s.asItStands(r), err
}

func (s *Store) loadAny(name string) (*record, error) {
	var r record
	err := layout.ReadRecord(s.State.Workspace(name).Record(), kind, name, &r)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil && r.arrived(name) {
		r.arrive()
		err = nil
	}
	if err != nil {
		return nil, unreadable("read record of workspace", name, err)
	}
	return &r, nil
}

// asItStands is r as it is now: an interrupted restore has come to its point, or has not.
func (s *Store) asItStands(r *record) *record {
	if r == nil || r.Restoring == nil {
		return r
	}
	stands := *r
	if s.restored(r) {
		stands = r.Restoring.Was
		stands.Name, stands.Spec.Name, stands.Project, stands.Spec.Project = r.Name, r.Name, r.Project, r.Project
	}
	stands.Restoring = nil
	return &stands
}

// unreadable is the error of a record that can't be understood, or not by this version.
func unreadable(op, name string, err error) error {
	e := &driver.Error{Class: driver.ErrCorrupt, Op: op, Object: name, Err: err,
		Next: "its files are untouched; to give it up with those outside volumes: microagent delete " + name}
	if later, ok := errors.AsType[*layout.LaterRecordError](err); ok {
		e.Class, e.Next = driver.ErrUnsupported, "use microagent "+later.Tool+" or later"
	}
	return e
}

func (s *Store) save(r *record) error {
	r.Moving = nil
	err := layout.ReplaceRecord(s.State.Workspace(r.Name).Record(), r)
	if _, later := errors.AsType[*layout.LaterRecordError](err); later {
		return unreadable("write record of workspace", r.Name, err)
	}
	if err != nil {
		return fmt.Errorf("write record of workspace %s: %w", r.Name, err)
	}
	return nil
}

// lock makes the caller the only one that changes the workspace, and finishes an interrupted deletion of it.
func (s *Store) lock(ctx context.Context, op, name string, wait time.Duration) (func(), error) {
	if err := checkName(op, name); err != nil {
		return nil, err
	}
	unlock, err := s.State.Lock(ctx, kind, name, wait)
	if locked, ok := errors.AsType[*layout.LockedError](err); ok {
		return nil, &driver.Error{Class: driver.ErrLocked, Op: op, Object: name, Err: locked, Next: "try again when it is done"}
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", op, name, err)
	}
	r, err := s.loadAny(name)
	switch {
	case err != nil || r == nil:
	case r.Deleting:
		err = s.finishDelete(r)
	case r.Restoring != nil:
		err = s.settle(r)
	}
	if err != nil && !errors.Is(err, driver.ErrCorrupt) { // that is told to whoever needs the record
		unlock()
		return nil, err
	}
	return unlock, nil
}

func checkName(op, name string) error {
	if layout.ValidName(name) {
		return nil
	}
	return &driver.Error{
		Class: driver.ErrInvalid, Op: op, Object: fmt.Sprintf("%q", name), Err: errors.New("not a valid name"),
		Next: "use a lower-case letter, then up to 30 letters, digits and dashes",
	}
}

func notFound(op, name string) error {
	return &driver.Error{
		Class: driver.ErrNotFound, Op: op, Object: name, Err: errors.New("there is no such workspace"), Next: "microagent list",
	}
}

// need is load for calls that can't do without.
func (s *Store) need(op, name string) (*record, error) {
	if err := checkName(op, name); err != nil {
		return nil, err
	}
	r, err := s.load(name)
	if err == nil && r == nil {
		err = notFound(op, name)
	}
	return r, err
}

// List gives the workspaces by name, and what could not be understood beside them as the error.
func (s *Store) List(ctx context.Context) ([]driver.Workspace, error) {
	entries, err := os.ReadDir(s.State.Workspaces())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list workspaces: %w", err)
	}
	var list []driver.Workspace
	var broken []error
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if !e.IsDir() || !layout.ValidName(e.Name()) {
			continue
		}
		r, err := s.load(e.Name())
		var w driver.Workspace
		if err == nil && r != nil {
			w, err = s.observe(r)
		}
		switch {
		case errors.Is(err, driver.ErrCorrupt), errors.Is(err, driver.ErrUnsupported):
			broken = append(broken, err)
		case err != nil:
			return nil, err
		case r != nil:
			list = append(list, w)
		}
	}
	slices.SortFunc(list, func(a, b driver.Workspace) int { return compare(a.Spec.Name, b.Spec.Name) })
	return list, errors.Join(broken...)
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// Get gives one workspace.
func (s *Store) Get(_ context.Context, name string) (driver.Workspace, error) {
	r, err := s.need("look at workspace", name)
	if err != nil {
		return driver.Workspace{}, err
	}
	return s.observe(r)
}

func (s *Store) observe(r *record) (driver.Workspace, error) {
	folder := s.State.Workspace(r.Name)
	w := driver.Workspace{
		Spec: r.Spec, ID: r.ID, Created: r.Created, Updated: r.Updated, Folder: folder.Dir,
		RecordDigest: r.Digest(),
	}
	info, err := os.Lstat(folder.RootFS())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return w, fmt.Errorf("look at workspace %s: %w", r.Name, err)
	}
	w.RootFSMissing = (err != nil || !info.Mode().IsRegular()) && !r.setAside(folder)
	if w.Run, err = control.ReadRun(folder); err != nil {
		return w, &driver.Error{Class: driver.ErrCorrupt, Op: "read run of workspace", Object: r.Name, Err: err, Next: "move " + folder.Run() + " away"}
	}
	w.Again = s.again(r.Name) && (w.Run == nil || !w.Run.Phase.Alive())
	if w.Loss, w.LossShown, err = s.loss(r, w.Run); err != nil {
		return w, &driver.Error{Class: driver.ErrCorrupt, Op: "read what was lost of workspace", Object: r.Name, Err: err, Next: "move " + folder.Loss() + " away"}
	}
	return w, nil
}

// absolute is the state with an absolute directory: a supervisor works elsewhere.
func (s *Store) absolute() (layout.State, error) {
	dir, err := filepath.Abs(s.State.Dir)
	state := s.State
	state.Dir = dir
	return state, err
}
