// Package project keeps the records that belong to no other driver: where a project's manifest is, and what
// an apply remembers of each bundle. It also gives the lock that makes one command at a time change a project.
//
// Records are published whole or not at all, and one that says the same already is not written again. Nothing
// here touches a manifest, a bundle's source or a disk. Whoever writes or deletes holds the project's lock;
// reading takes none and works on a read-only state directory. The commands' wiring imports it.
package project

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/runtime/lease"
)

// Store is driver.Projects on a state directory.
type Store struct {
	state layout.State
	tool  string
}

var _ driver.Projects = (*Store)(nil)

// New gives the store; tool is the version that new records name. Nothing is opened or made before the first
// write.
func New(state layout.State, tool string) *Store { return &Store{state: state, tool: tool} }

// Lock takes the lock of a project, for this process or until unlock.
func (s *Store) Lock(ctx context.Context, project string, wait time.Duration) (func(), error) {
	const op = "lock project"
	if err := validProject(op, project); err != nil {
		return nil, err
	}
	unlock, err := s.state.Lock(ctx, "project", project, wait)
	if err == nil {
		return unlock, nil
	}
	if locked, ok := errors.AsType[*layout.LockedError](err); ok {
		return nil, lockedBy(op, project, locked.Holder)
	}
	return nil, &driver.Error{Op: op, Object: project, Err: err}
}

// Locked looks whether another command has the lock.
func (s *Store) Locked(_ context.Context, project string) error {
	const op = "lock project"
	if err := validProject(op, project); err != nil {
		return err
	}
	path := s.state.LockFile("project", project)
	held, _, err := lease.ReadLocks().Probe(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return &driver.Error{Op: op, Object: project, Err: err}
	case !held:
		return nil
	}
	holder, _ := os.ReadFile(path)
	return lockedBy(op, project, string(holder))
}

func lockedBy(op, project, holder string) error {
	if holder == "" {
		holder = "another process"
	}
	return &driver.Error{
		Class: driver.ErrLocked, Op: op, Object: project,
		Err:  fmt.Errorf("held by %s", holder),
		Next: "try again when it is done, or wait for it: --lock-timeout 10m",
	}
}

type projectRecord struct {
	layout.Meta
	Manifest string            `json:"manifest"`
	Outputs  map[string]string `json:"outputs,omitempty"`
	// MovingFrom is the project whose objects are becoming this one's.
	MovingFrom string `json:"moving_from,omitempty"`
}

// List gives the projects that have a record, by name.
func (s *Store) List(ctx context.Context) ([]driver.Project, error) {
	names, err := recordNames(s.state.Projects())
	if err != nil {
		return nil, &driver.Error{Op: "list projects", Err: err}
	}
	var list []driver.Project
	for _, name := range names {
		p, err := s.Get(ctx, name)
		if errors.Is(err, driver.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

// Get reads one project's record.
func (s *Store) Get(_ context.Context, name string) (driver.Project, error) {
	const op = "read project"
	if err := validProject(op, name); err != nil {
		return driver.Project{}, err
	}
	var r projectRecord
	digest, err := readRecord(s.state.ProjectRecord(name), "project", name, &r)
	if err != nil {
		return driver.Project{}, recordError(op, name, err)
	}
	return driver.Project{Name: name, Manifest: r.Manifest, Outputs: r.Outputs, MovingFrom: r.MovingFrom, RecordDigest: digest}, nil
}

// Put writes a project's record, unless it says the same already. RecordDigest is ignored.
func (s *Store) Put(_ context.Context, p driver.Project) error {
	const op = "record project"
	if err := validProject(op, p.Name); err != nil {
		return err
	}
	var old projectRecord
	meta := layout.Meta{Format: layout.Format, Kind: "project", Name: p.Name, ID: layout.NewID(), Tool: s.tool}
	if _, err := readRecord(s.state.ProjectRecord(p.Name), "project", p.Name, &old); err == nil {
		if old.Manifest == p.Manifest && maps.Equal(old.Outputs, p.Outputs) && old.MovingFrom == p.MovingFrom {
			return nil
		}
		meta.ID = old.ID
	} else if errors.Is(err, driver.ErrUnsupported) {
		return recordError(op, p.Name, err)
	}
	return s.write(op, p.Name, s.state.Projects(), s.state.ProjectRecord(p.Name),
		&projectRecord{Meta: meta, Manifest: p.Manifest, Outputs: p.Outputs, MovingFrom: p.MovingFrom})
}

// Delete removes a project's record; its objects stay as they are.
func (s *Store) Delete(_ context.Context, name string) error {
	const op = "delete record of project"
	if err := validProject(op, name); err != nil {
		return err
	}
	return remove(op, name, s.state.Projects(), s.state.ProjectRecord(name))
}

func (s *Store) write(op, name, dir, path string, record layout.Record) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return &driver.Error{Op: op, Object: name, Err: err}
	}
	err := layout.ReplaceRecord(path, record)
	if _, later := errors.AsType[*layout.LaterRecordError](err); later {
		return recordError(op, name, classed(err))
	}
	if err != nil {
		return &driver.Error{Op: op, Object: name, Err: err}
	}
	return nil
}

func remove(op, name, dir, path string) error {
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = layout.SyncDir(dir)
	}
	if err != nil {
		return &driver.Error{Op: op, Object: name, Err: err}
	}
	return nil
}
