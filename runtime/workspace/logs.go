package workspace

import (
	"context"
	"fmt"
	"io"
	"os"

	"al.essio.dev/pkg/shellescape"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/runtime/output"
	"microagent/runtime/supervise/control"
	"microagent/runtime/workspace/logs"
)

// Logs writes what the newest run's process, or its console, wrote.
func (s *Store) Logs(ctx context.Context, name string, o driver.LogOptions, stdout, stderr io.Writer) error {
	return s.AllLogs(ctx, []string{name}, nil, o, logs.To(stdout, stderr))
}

// AllLogs gives what the newest runs of several workspaces wrote, as one stream.
func (s *Store) AllLogs(ctx context.Context, names []string, later func(driver.Workspace) bool, o driver.LogOptions, each func(driver.Written) error) error {
	const op = "logs of workspace"
	if o.Job != "" {
		return s.jobLogs(ctx, names, o, each)
	}
	r := logs.Request{LogOptions: o}
	for _, name := range names {
		if err := logs.CheckStream(op, name, o.Stream); err != nil {
			return err
		}
		of, err := s.need(op, name)
		if err != nil {
			return err
		}
		ws, err := s.observe(of)
		if err != nil {
			return err
		}
		r.Of = append(r.Of, ws)
	}
	if later != nil {
		r.Folder, r.Later = s.State.Workspaces(), func(name string) (driver.Workspace, bool) {
			ws, err := s.Get(ctx, name)
			return ws, err == nil && later(ws)
		}
	}
	return logs.Each(ctx, r, each)
}

// OutputFile opens a fetched output as a tar stream.
func (s *Store) OutputFile(ctx context.Context, name, out string) (io.ReadCloser, driver.Fetched, error) {
	const op = "output of workspace"
	r, err := s.need(op, name)
	if err != nil {
		return nil, driver.Fetched{}, err
	}
	folder := s.State.Workspace(name)
	run, err := control.ReadRun(folder)
	if err != nil {
		return nil, driver.Fetched{}, fmt.Errorf("%s %s: %w", op, name, err)
	}
	look := "microagent logs " + name
	if r.Spec.Process.Mode == driver.ModeIdle { // what ran in it wrote to no log
		look = "microagent start " + name
	}
	var collected []driver.Fetched
	if run != nil {
		collected = run.Collected
	}
	return openCollected(ctx, folder, collected, collectedOutput{op, name, name, out, look})
}

// collectedOutput is an output that is asked for, and where to look when it is not there.
type collectedOutput struct{ op, object, workspace, name, look string }

// openCollected opens an output in a folder that it was collected into, as collected says.
func openCollected(ctx context.Context, folder layout.Workspace, collected []driver.Fetched, o collectedOutput) (io.ReadCloser, driver.Fetched, error) {
	for _, got := range collected {
		if got.Name != o.name {
			continue
		}
		if got.Error != "" {
			if !got.Missing {
				o.look = "microagent cp -r " + shellescape.Quote(o.workspace+":"+got.From) + " ./" + o.name
			}
			return nil, got, &driver.Error{
				Class: driver.ErrNotFound, Op: o.op, Object: o.object, Err: fmt.Errorf("output %q was not collected: %s", o.name, got.Error),
				Next: o.look,
			}
		}
		r, err := openOutput(ctx, folder, o.name)
		if err != nil {
			err = fmt.Errorf("%s %s: %w", o.op, o.object, err)
		}
		return r, got, err
	}
	return nil, driver.Fetched{}, &driver.Error{
		Class: driver.ErrNotFound, Op: o.op, Object: o.object, Err: fmt.Errorf("output %q was not collected", o.name), Next: o.look,
	}
}

// tarStream is an output on its way. Close ends its writer, also one that waits for a guest, and waits for it.
type tarStream struct {
	*io.PipeReader
	cancel context.CancelFunc
	done   chan struct{}
}

// stream gives what write writes.
func stream(ctx context.Context, write func(ctx context.Context, w io.Writer) error) *tarStream {
	ctx, cancel := context.WithCancel(ctx)
	r, w := io.Pipe()
	t := &tarStream{PipeReader: r, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(t.done)
		w.CloseWithError(write(ctx, w))
	}()
	return t
}

func (t *tarStream) Close() error {
	t.cancel()
	err := t.PipeReader.Close()
	<-t.done
	return err
}

func openOutput(ctx context.Context, folder layout.Workspace, out string) (io.ReadCloser, error) {
	root, err := os.OpenRoot(folder.Outputs())
	if err != nil {
		return nil, err
	}
	return stream(ctx, func(ctx context.Context, w io.Writer) error {
		defer root.Close()
		return output.New().Tar(ctx, driver.Target{Root: root, Path: out}, w)
	}), nil
}
