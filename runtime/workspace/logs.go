package workspace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"al.essio.dev/pkg/shellescape"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/runtime/machine/rotate"
	"microagent/runtime/output"
	"microagent/runtime/supervise/control"
	"microagent/runtime/supervise/outlog"
)

// Streams of a log.
const (
	streamStdout  = "stdout"
	streamStderr  = "stderr"
	streamConsole = "console"
)

// Logs writes what the newest run's process, or its console, wrote.
func (s *Store) Logs(ctx context.Context, name string, o driver.LogOptions, stdout, stderr io.Writer) error {
	const op = "logs of workspace"
	if _, err := s.need(op, name); err != nil {
		return err
	}
	folder := s.State.Workspace(name)
	switch o.Stream {
	case streamConsole:
		return s.console(ctx, folder, o, stdout)
	case "", streamStdout, streamStderr:
	default:
		return &driver.Error{
			Class: driver.ErrInvalid, Op: op, Object: name, Err: fmt.Errorf("there is no stream %q", o.Stream),
			Next: "take stdout, stderr or console",
		}
	}
	out, errs := &dropper{w: stdout}, &dropper{w: stderr}
	if o.Tail != nil {
		t := newTail(*o.Tail)
		if err := kept(folder, o.Stream, t.stream(streamStdout), t.stream(streamStderr)); err != nil {
			return fmt.Errorf("%s %s: %w", op, name, err)
		}
		skip := t.skip()
		out.left, errs.left = skip[streamStdout], skip[streamStderr]
	}
	if o.Follow {
		run, err := control.ReadRun(folder)
		if err == nil && run != nil && run.Phase.Alive() {
			err = control.Client{Folder: folder}.Logs(ctx, o.Stream, true, out, errs)
		} else if err == nil {
			err = control.ErrGone
		}
		if !errors.Is(err, control.ErrGone) || out.wrote || errs.wrote {
			return err
		}
	}
	if err := kept(folder, o.Stream, out, errs); err != nil {
		return fmt.Errorf("%s %s: %w", op, name, err)
	}
	return nil
}

// kept writes what the log of a run's process holds now.
func kept(folder layout.Workspace, stream string, stdout, stderr io.Writer) error {
	r, err := rotate.Open(folder.File(layout.OutputLog))
	if err != nil {
		return err
	}
	defer r.Close()
	return outlog.Read(r, func(which byte, data []byte) error {
		w, name := stdout, streamStdout
		if which == 2 {
			w, name = stderr, streamStderr
		}
		if stream != "" && stream != name {
			return nil
		}
		_, err := w.Write(data)
		return err
	})
}

// consolePeriod is how often a followed console is looked at: nobody tells of what the VMM writes.
const consolePeriod = 200 * time.Millisecond

func (s *Store) console(ctx context.Context, folder layout.Workspace, o driver.LogOptions, w io.Writer) error {
	path := folder.File(layout.ConsoleLog)
	out := &dropper{w: w}
	if o.Tail != nil {
		t := newTail(*o.Tail)
		if err := copyLog(path, t.stream(streamConsole)); err != nil {
			return err
		}
		out.left = t.skip()[streamConsole]
	}
	if !o.Follow {
		return copyLog(path, out)
	}
	if old, err := os.Open(rotate.Old(path)); err == nil {
		_, err = io.Copy(out, old)
		old.Close()
		if err != nil {
			return err
		}
	}
	return followFile(ctx, path, out, func() bool {
		run, err := control.ReadRun(folder)
		return err == nil && run != nil && run.Phase.Alive()
	})
}

func copyLog(path string, w io.Writer) error {
	r, err := rotate.Open(path)
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(w, r)
	return err
}

// followFile writes a file that grows and is turned, until alive says no.
func followFile(ctx context.Context, path string, w io.Writer, alive func() bool) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { f.Close() }()
	for {
		living := alive()
		turned := turnedAway(f, path)
		if _, err := io.Copy(w, f); err != nil {
			return err
		}
		switch {
		case turned:
			f.Close()
			if f, err = os.Open(path); err != nil {
				return err
			}
			continue
		case !living:
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(consolePeriod):
		}
	}
}

func turnedAway(f *os.File, path string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Stat(path)
	return err == nil && !os.SameFile(a, b)
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
	if run != nil {
		for _, got := range run.Collected {
			if got.Name != out {
				continue
			}
			if got.Error != "" {
				if !got.Missing {
					look = "microagent cp -r " + shellescape.Quote(name+":"+got.From) + " ./" + out
				}
				return nil, got, &driver.Error{
					Class: driver.ErrNotFound, Op: op, Object: name, Err: fmt.Errorf("output %q was not collected: %s", out, got.Error),
					Next: look,
				}
			}
			r, err := openOutput(ctx, folder, out)
			if err != nil {
				err = fmt.Errorf("%s %s: %w", op, name, err)
			}
			return r, got, err
		}
	}
	return nil, driver.Fetched{}, &driver.Error{
		Class: driver.ErrNotFound, Op: op, Object: name, Err: fmt.Errorf("output %q was not collected", out), Next: look,
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
