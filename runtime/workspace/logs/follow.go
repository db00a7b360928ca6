package logs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/runtime/lease"
)

// follower reads several logs at once.
type follower struct {
	Request
	each    func(driver.Written) error
	sources map[string]*source // by folder
	order   []*source          // by name

	watch  *watcher
	gone   chan string // folders whose supervisor is
	awaits sync.WaitGroup
}

func (f *follower) close() {
	for _, s := range f.order {
		s.files.Close()
	}
}

// follow gives what is there, and then what is written, until there is nothing to wait for.
func (f *follower) follow(ctx context.Context) (err error) {
	if f.watch, err = newWatcher(); err != nil {
		return fmt.Errorf("follow logs: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	f.gone = make(chan string)
	defer func() {
		cancel()
		f.awaits.Wait()
		f.watch.close()
		f.close()
	}()
	// Each folder is watched before the first look at it, so that no change is missed.
	if f.Later != nil {
		if err := os.MkdirAll(f.Folder, 0o700); err != nil {
			return fmt.Errorf("follow logs: %w", err)
		}
		if err := f.watch.folder(f.Folder); err != nil {
			return fmt.Errorf("follow logs: %w", err)
		}
	}
	for _, ws := range f.Of {
		if err := f.join(ctx, ws); err != nil {
			return err
		}
	}
	if err := f.give(ctx); err != nil {
		return err
	}
	if err := f.newFolders(ctx); err != nil { // that came between the caller's list of workspaces and the watch
		return err
	}
	for f.Later != nil || f.alive() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case folder := <-f.gone:
			err = f.look(ctx, f.sources[folder])
		case c := <-f.watch.changes:
			err = f.takeAll(ctx, c)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// takeAll acts on changes of files.
func (f *follower) takeAll(ctx context.Context, c changes) error {
	if c.err != nil {
		return fmt.Errorf("follow logs: %w", c.err)
	}
	if c.lost { // a look at all finds what they were
		return f.lookAll(ctx)
	}
	for _, path := range c.paths {
		if err := f.take(ctx, path); err != nil {
			return err
		}
	}
	return nil
}

// alive says whether one of the runs can still write.
func (f *follower) alive() bool {
	for _, s := range f.order {
		if s.writes() {
			return true
		}
	}
	return false
}

// writes says whether something may still come. A run whose process has an exit code has written all; of another end
// that is known once its supervisor is gone.
func (s *source) writes() bool {
	if s.run == nil {
		return false
	}
	if s.run.Phase.Alive() {
		return true
	}
	return s.run.ExitCode == nil && lease.Process{PID: s.run.PID, BootID: s.run.BootID, Start: s.run.Start}.Alive()
}

// take acts on a change of a file.
func (f *follower) take(ctx context.Context, path string) error {
	folder := filepath.Dir(path)
	if f.Later != nil && folder == filepath.Clean(f.Folder) {
		return f.newFolder(ctx, path)
	}
	s := f.sources[folder]
	switch name := filepath.Base(path); {
	case s == nil:
		if f.Later != nil && name == layout.RecordFile {
			return f.later(ctx, folder)
		}
	case name == s.file():
		if err := f.watchLog(s); err != nil {
			return err
		}
		return f.drain(ctx, s)
	case name == layout.RunFile, name == layout.JobFile:
		return f.look(ctx, s)
	}
	return nil
}

func (f *follower) lookAll(ctx context.Context) error {
	for _, s := range f.order {
		if err := f.catchUp(ctx, s); err != nil {
			return err
		}
	}
	return f.newFolders(ctx)
}

// newFolders takes in the workspaces that are there and not followed yet.
func (f *follower) newFolders(ctx context.Context) error {
	if f.Later == nil {
		return nil
	}
	entries, err := os.ReadDir(f.Folder)
	if err != nil {
		return fmt.Errorf("follow logs: %w", err)
	}
	for _, e := range entries {
		if path := filepath.Join(f.Folder, e.Name()); f.sources[path] == nil {
			if err := f.newFolder(ctx, path); err != nil {
				return err
			}
		}
	}
	return nil
}

// look reads a source's run and log, and tells of a run that began or ended.
func (f *follower) look(ctx context.Context, s *source) error {
	if s == nil {
		return nil
	}
	run, err := f.run(s.folder)
	if err != nil || run == nil {
		return f.drain(ctx, s) // a folder that is being deleted
	}
	before := s.run
	began := run.Phase.Alive() && (before == nil || before.ID != run.ID)
	ended := !run.Phase.Alive() && before != nil && (before.Phase.Alive() || before.ID != run.ID)
	if err := f.drain(ctx, s); err != nil {
		return err
	}
	s.run = run
	switch {
	case began:
		f.await(ctx, s)
		err = f.each(driver.Written{Workspace: s.name, Time: run.Started, Run: run})
	case ended:
		w := driver.Written{Workspace: s.name, Time: run.Started, Run: run}
		if run.Ended != nil {
			w.Time = *run.Ended
		}
		err = f.each(w)
	}
	if err != nil {
		return err
	}
	return f.drain(ctx, s)
}

// drain gives all that a source has now.
func (f *follower) drain(ctx context.Context, s *source) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.read(); err != nil || s.head == nil {
			return err
		}
		w := *s.head
		s.head = nil
		if err := f.each(w); err != nil {
			return err
		}
	}
}
