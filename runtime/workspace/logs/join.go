package logs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/runtime/lease"
)

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

// join follows a workspace.
func (f *follower) join(ctx context.Context, ws driver.Workspace) error {
	if err := f.watch.folder(ws.Folder); err != nil {
		return fmt.Errorf("follow logs of workspace %s: %w", ws.Spec.Name, err)
	}
	run, err := f.run(layout.Workspace{Dir: ws.Folder})
	if err != nil {
		return fmt.Errorf("follow logs of workspace %s: %w", ws.Spec.Name, err)
	}
	ws.Run = run
	if err := f.add(ws); err != nil {
		return err
	}
	s := f.sources[ws.Folder]
	f.await(ctx, s)
	return f.watchLog(s)
}

// watchLog has the log that has its name now tell when it grows. One that comes later is told of by its folder.
func (f *follower) watchLog(s *source) error {
	err := f.watch.grows(s.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
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

// newFolder watches a folder that came, of a workspace whose record may come later. One that is followed already was made
// anew, or a look at all was faster than what tells of it.
func (f *follower) newFolder(ctx context.Context, path string) error {
	if s := f.sources[path]; s != nil {
		return f.catchUp(ctx, s)
	}
	if f.watch.folder(path) != nil {
		return nil // it is gone again, or no folder
	}
	return f.later(ctx, path)
}

// catchUp watches the folder and the log that a source has now, and gives what it has not given yet.
func (f *follower) catchUp(ctx context.Context, s *source) error {
	if f.watch.folder(s.folder.Dir) == nil { // it is there
		if err := f.watchLog(s); err != nil {
			return err
		}
	}
	return f.look(ctx, s)
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
