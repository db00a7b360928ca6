package logs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/fsnotify/fsnotify"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/runtime/lease"
	"microagent/runtime/supervise/control"
)

// follower reads several logs at once.
type follower struct {
	Request
	each    func(driver.Written) error
	sources map[string]*source // by folder
	order   []*source          // by name

	watch  *fsnotify.Watcher
	gone   chan string // folders whose supervisor is
	awaits sync.WaitGroup
}

func (f *follower) close() {
	for _, s := range f.order {
		s.files.Close()
	}
}

// add takes a workspace in.
func (f *follower) add(ws driver.Workspace) error {
	s, err := newSource(ws, f.LogOptions)
	if err != nil {
		return fmt.Errorf("logs of workspace %s: %w", ws.Spec.Name, err)
	}
	f.sources[s.folder.Dir] = s
	f.order = append(f.order, s)
	return nil
}

// follow gives what is there, and then what is written, until there is nothing to wait for.
func (f *follower) follow(ctx context.Context) (err error) {
	if f.watch, err = fsnotify.NewWatcher(); err != nil {
		return fmt.Errorf("follow logs: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	f.gone = make(chan string)
	defer func() {
		cancel()
		f.awaits.Wait()
		f.watch.Close()
		f.close()
	}()
	// Each folder is watched before the first look at it, so that no change is missed.
	if f.Later != nil {
		if err := os.MkdirAll(f.Folder, 0o700); err != nil {
			return fmt.Errorf("follow logs: %w", err)
		}
		if err := f.watch.Add(f.Folder); err != nil {
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
	for f.Later != nil || f.alive() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case folder := <-f.gone:
			err = f.look(ctx, f.sources[folder])
		case e := <-f.watch.Events:
			err = f.take(ctx, e)
		case err = <-f.watch.Errors:
			if errors.Is(err, fsnotify.ErrEventOverflow) { // too many at once: a look at all finds what they were
				err = f.lookAll(ctx)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// join follows a workspace.
func (f *follower) join(ctx context.Context, ws driver.Workspace) error {
	if err := f.watch.Add(ws.Folder); err != nil {
		return fmt.Errorf("follow logs of workspace %s: %w", ws.Spec.Name, err)
	}
	run, err := control.ReadRun(layout.Workspace{Dir: ws.Folder})
	if err != nil {
		return fmt.Errorf("follow logs of workspace %s: %w", ws.Spec.Name, err)
	}
	ws.Run = run
	if err := f.add(ws); err != nil {
		return err
	}
	f.await(ctx, f.sources[ws.Folder])
	return nil
}

// await tells when the supervisor of a run is gone: one that is killed changes no file.
func (f *follower) await(ctx context.Context, s *source) {
	if s.run == nil || !s.run.Phase.Alive() {
		return
	}
	p := lease.Process{PID: s.run.PID, BootID: s.run.BootID, Start: s.run.Start}
	f.awaits.Go(func() {
		if p.Wait(ctx) != nil {
			return
		}
		select {
		case f.gone <- s.folder.Dir:
		case <-ctx.Done():
		}
	})
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
func (f *follower) take(ctx context.Context, e fsnotify.Event) error {
	if f.Later != nil && filepath.Dir(e.Name) == filepath.Clean(f.Folder) {
		return f.newFolder(ctx, e)
	}
	folder := filepath.Dir(e.Name)
	s := f.sources[folder]
	switch name := filepath.Base(e.Name); {
	case s == nil:
		if f.Later != nil && name == layout.RecordFile {
			return f.later(ctx, folder)
		}
	case name == s.file():
		return f.drain(ctx, s)
	case name == layout.RunFile:
		return f.look(ctx, s)
	}
	return nil
}

// newFolder watches a folder that came, of a workspace whose record may come later.
func (f *follower) newFolder(ctx context.Context, e fsnotify.Event) error {
	if !e.Has(fsnotify.Create) {
		return nil
	}
	if old := f.sources[e.Name]; old != nil { // it was deleted and is made anew
		if err := f.drain(ctx, old); err != nil {
			return err
		}
		f.forget(old)
	}
	if f.watch.Add(e.Name) != nil {
		return nil // it is gone again, or no folder
	}
	return f.later(ctx, e.Name)
}

// later takes in a workspace that came later, once it has a record and if it is one of those that are followed.
func (f *follower) later(ctx context.Context, folder string) error {
	ws, ok := f.Later(filepath.Base(folder))
	if !ok {
		return nil
	}
	ws.Folder = folder
	if err := f.join(ctx, ws); err != nil {
		return err
	}
	s := f.sources[folder]
	if s.run != nil && s.run.Phase.Alive() {
		if err := f.each(driver.Written{Workspace: s.name, Time: s.run.Started, Run: s.run}); err != nil {
			return err
		}
	}
	return f.drain(ctx, s)
}

func (f *follower) forget(gone *source) {
	gone.files.Close()
	delete(f.sources, gone.folder.Dir)
	var left []*source
	for _, s := range f.order {
		if s != gone {
			left = append(left, s)
		}
	}
	f.order = left
}

func (f *follower) lookAll(ctx context.Context) error {
	for _, s := range f.order {
		if err := f.look(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// look reads a source's run and log, and tells of a run that began or ended.
func (f *follower) look(ctx context.Context, s *source) error {
	if s == nil {
		return nil
	}
	run, err := control.ReadRun(s.folder)
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
