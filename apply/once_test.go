package apply

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"microagent/plan/observed"
	"microagent/runtime/driver"
	"microagent/runtime/drivertest"
	"microagent/schema/spec"
)

// onceRuns are runs whose command and outputs the test makes up; the rest is the fake's.
type onceRuns struct {
	driver.Runs
	exec    func(ctx context.Context, s driver.Streams) (int, error)
	outputs map[string][]byte // tars; nil for one that the command did not write
	// uncollected is why no output was collected, though it is in the guest.
	uncollected error
	stops       []driver.StopOptions
	stop        error
}

func (r *onceRuns) Exec(ctx context.Context, _ string, _ driver.ExecSpec, s driver.Streams) (int, error) {
	return r.exec(ctx, s)
}

func (r *onceRuns) Stop(ctx context.Context, name string, o driver.StopOptions) (driver.Stopped, error) {
	r.stops = append(r.stops, o)
	if r.stop != nil {
		return driver.Stopped{}, r.stop
	}
	return r.Runs.Stop(ctx, name, o)
}

func (r *onceRuns) OutputFile(_ context.Context, name, output string) (io.ReadCloser, driver.Fetched, error) {
	if r.uncollected != nil {
		return nil, driver.Fetched{Name: output, Error: "it is a socket"}, r.uncollected
	}
	data := r.outputs[output]
	if data == nil {
		return nil, driver.Fetched{Name: output, Missing: true, Error: "not there"},
			&driver.Error{Class: driver.ErrNotFound, Op: "output of workspace", Object: name, Next: "microagent logs " + name}
	}
	return io.NopCloser(bytes.NewReader(data)), driver.Fetched{Name: output}, nil
}

// fullOutputs are of a host without room.
type fullOutputs struct{ driver.Outputs }

func (fullOutputs) Publish(context.Context, io.Reader, driver.Target, driver.Publishing) (driver.Fetched, error) {
	return driver.Fetched{}, syscall.ENOSPC
}

// TestOnce says for each end of a command what becomes of its outputs and its workspace.
func TestOnce(t *testing.T) {
	tree := drivertest.Tar(t, drivertest.Entry{Name: ".", Data: "42\n"})
	exits := func(code int) func(context.Context, driver.Streams) (int, error) {
		return func(context.Context, driver.Streams) (int, error) { return code, nil }
	}
	fails := func(err error) func(context.Context, driver.Streams) (int, error) {
		return func(context.Context, driver.Streams) (int, error) { return 0, err }
	}
	mounts := func(list ...driver.Mount) func(*Command) {
		return func(c *Command) { c.Workspace.Spec.Mounts = list }
	}
	lost := &driver.CrashError{}
	for _, c := range []struct {
		name      string
		command   func(*Command)
		world     func(*driver.Set, *onceRuns, *drivertest.FakeWorkspaces)
		code      int
		err       error
		written   int
		unwritten int
		kept      bool
		cleanup   bool
		asked     bool // its guest is shut down, though the workspace does not stay, or not as it was to
		toKeep    bool // the record says that it is no workspace of a process alone any more
	}{
		{name: "it succeeds", written: 1},
		{name: "it fails", world: func(_ *driver.Set, r *onceRuns, _ *drivertest.FakeWorkspaces) { r.exec = exits(3) }, code: 3, written: 1},
		{name: "it is to be kept", command: func(c *Command) { c.Keep = true }, written: 1, kept: true},
		{name: "it writes to a volume", command: mounts(driver.Mount{Path: "/v", Kind: driver.MountVolume, Name: "v"}), written: 1, asked: true},
		{name: "it writes to a disk of the host", command: mounts(driver.Mount{Path: "/d", Kind: spec.MountDisk, Name: "d"}), written: 1, asked: true},
		{name: "it reads a volume", command: mounts(driver.Mount{Path: "/v", Kind: driver.MountVolume, Name: "v", ReadOnly: true}), written: 1},
		{name: "it succeeds without its output", world: func(_ *driver.Set, r *onceRuns, _ *drivertest.FakeWorkspaces) { r.outputs = nil },
			unwritten: 1, kept: true, toKeep: true},
		{name: "it fails before its output", world: func(_ *driver.Set, r *onceRuns, _ *drivertest.FakeWorkspaces) {
			r.exec, r.outputs = exits(3), nil
		}, code: 3, unwritten: 1},
		{name: "the host is full", world: func(d *driver.Set, r *onceRuns, _ *drivertest.FakeWorkspaces) {
			d.Outputs, r.exec = fullOutputs{d.Outputs}, exits(3)
		}, code: 3, unwritten: 1, kept: true, toKeep: true},
		{name: "one of two outputs is missing", command: func(c *Command) { c.Outputs = append(c.Outputs, HostOutput{"other", "other"}) },
			written: 1, unwritten: 1, kept: true, toKeep: true},
		{name: "its time runs out", world: func(_ *driver.Set, r *onceRuns, _ *drivertest.FakeWorkspaces) {
			r.exec = fails(driver.ErrTimeout)
		}, err: driver.ErrTimeout, written: 1},
		{name: "its guest dies", world: func(_ *driver.Set, r *onceRuns, _ *drivertest.FakeWorkspaces) {
			r.exec = fails(&driver.Error{Class: driver.ErrGuest, Op: "exec", Object: "one", Err: lost})
		}, err: driver.ErrGuest, unwritten: 1, kept: true, toKeep: true},
		{name: "its guest dies, and there is nothing to bring out", command: func(c *Command) { c.Outputs = nil },
			world: func(_ *driver.Set, r *onceRuns, _ *drivertest.FakeWorkspaces) {
				r.exec = fails(&driver.Error{Class: driver.ErrGuest, Op: "exec", Object: "one", Err: lost})
			}, err: driver.ErrGuest},
		{name: "its supervisor is lost", world: func(_ *driver.Set, r *onceRuns, _ *drivertest.FakeWorkspaces) {
			r.exec = fails(&driver.Error{Class: driver.ErrUnavailable, Op: "exec", Object: "one"})
		}, err: driver.ErrUnavailable, unwritten: 1, kept: true, toKeep: true},
		{name: "its run ended by itself", world: func(_ *driver.Set, r *onceRuns, w *drivertest.FakeWorkspaces) {
			r.exec = func(ctx context.Context, _ driver.Streams) (int, error) {
				if _, err := w.Stop(ctx, "one", driver.StopOptions{}); err != nil {
					return 0, err
				}
				return 0, &driver.Error{Class: driver.ErrUnavailable, Op: "exec", Object: "one", Err: errors.New("it ended meanwhile")}
			}
		}, err: driver.ErrUnavailable, unwritten: 1, kept: true, toKeep: true},
		{name: "there is no such program", world: func(_ *driver.Set, r *onceRuns, _ *drivertest.FakeWorkspaces) {
			r.exec = fails(&driver.Error{Class: driver.ErrNotFound, Op: "exec", Object: "one"})
		}, err: driver.ErrNotFound},
		{name: "its output could not be collected", world: func(_ *driver.Set, r *onceRuns, _ *drivertest.FakeWorkspaces) {
			r.uncollected = &driver.Error{Class: driver.ErrNotFound, Op: "output of workspace", Object: "one", Next: "microagent logs one"}
		}, unwritten: 1, kept: true, toKeep: true},
		{name: "it fails, and its output could not be collected", world: func(_ *driver.Set, r *onceRuns, _ *drivertest.FakeWorkspaces) {
			r.exec, r.uncollected = exits(3), &driver.Error{Class: driver.ErrNotFound, Op: "output of workspace", Object: "one"}
		}, code: 3, unwritten: 1, kept: true, toKeep: true},
		{name: "it can't be kept for good", world: func(d *driver.Set, r *onceRuns, w *drivertest.FakeWorkspaces) {
			d.Outputs = fullOutputs{d.Outputs}
			w.Fail = func(op, _ string) error {
				if op == "update" {
					return driver.ErrNoSpace
				}
				return nil
			}
		}, unwritten: 1, kept: true, cleanup: true, asked: true},
		{name: "it can't be started", world: func(_ *driver.Set, _ *onceRuns, w *drivertest.FakeWorkspaces) {
			w.Fail = func(op, _ string) error {
				if op == "start" {
					return driver.ErrUnavailable
				}
				return nil
			}
		}, err: driver.ErrUnavailable},
		{name: "there is nothing to run", command: func(c *Command) { c.Spec.Argv = nil }, err: driver.ErrInvalid},
		{name: "there is no terminal", command: func(c *Command) {
			c.Streams = func(context.Context) (driver.Streams, func(), error) { return driver.Streams{}, nil, driver.ErrInvalid }
		}, err: driver.ErrInvalid},
		{name: "it can't be stopped", world: func(_ *driver.Set, r *onceRuns, _ *drivertest.FakeWorkspaces) { r.stop = driver.ErrTimeout },
			written: 1, kept: true, cleanup: true},
		{name: "it can't be deleted", world: func(_ *driver.Set, _ *onceRuns, w *drivertest.FakeWorkspaces) {
			w.Fail = func(op, _ string) error {
				if op == "delete" {
					return driver.ErrBusy
				}
				return nil
			}
		}, written: 1, kept: true, cleanup: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			*lost = driver.CrashError{Workspace: "one", Phase: "running", Reason: "gone", Log: "/state/one/console"}
			b, command := newCommand(t)
			runs := &onceRuns{Runs: b.workspaces, exec: exits(0), outputs: map[string][]byte{"count": tree}}
			b.drivers.Runs = runs
			if c.command != nil {
				c.command(&command)
			}
			if c.world != nil {
				c.world(&b.drivers, runs, b.workspaces)
			}
			end := Once(t.Context(), t.Context(), b.drivers, command)
			if end.Code != c.code || !errors.Is(end.Err, c.err) || len(end.Written) != c.written || len(end.Unwritten) != c.unwritten ||
				end.Kept != c.kept || (end.Cleanup != nil) != c.cleanup {
				t.Errorf("%+v", end)
			}
			ws, err := b.workspaces.Get(t.Context(), "one")
			if there := err == nil; there != c.kept {
				t.Errorf("the workspace is there: %v, said %v", there, c.kept)
			} else if there && ws.Spec.OneShot == c.toKeep && !c.cleanup {
				t.Errorf("one for a process alone: %v", ws.Spec.OneShot)
			}
			if asked := c.asked || c.kept && !c.cleanup; len(runs.stops) == 0 || runs.stops[0].Force == asked {
				t.Errorf("stopped with %+v", runs.stops)
			}
			if !end.Kept && errors.Is(end.Err, driver.ErrGuest) && (lost.Log != "" || driver.Next(end.Err) == "microagent logs one") {
				t.Errorf("it leads into a workspace that is gone: %v", end.Err)
			}
		})
	}
}

// newCommand is a one-shot workspace with an output, and a command for it.
func newCommand(t *testing.T) (*bench, Command) {
	t.Helper()
	b := newBench(t)
	given := observed.WorkspaceSpec{Name: "one", Image: "example.org/base:1", CPUs: 1, Memory: 128 << 20, DiskSize: 64 << 20,
		Mode: spec.ModeIdle, Argv: []string{"true"}, Outputs: []spec.Output{{Name: "count", Path: "/count"}}}
	ws, err := Single(t.Context(), b.drivers, b.files, given, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b, Command{Workspace: ws, Spec: given, Outputs: []HostOutput{{"count", filepath.Join(b.dir, "count")}},
		Streams: func(context.Context) (driver.Streams, func(), error) { return driver.Streams{}, func() {}, nil }}
}

// TestOnceInterrupted ends the context while the command runs: it gets SIGINT, and what it leaves comes out.
func TestOnceInterrupted(t *testing.T) {
	b, command := newCommand(t)
	ctx, interrupt := context.WithCancel(t.Context())
	runs := &onceRuns{Runs: b.workspaces, outputs: map[string][]byte{"count": drivertest.Tar(t, drivertest.Entry{Name: ".", Data: "1"})}}
	runs.exec = func(_ context.Context, s driver.Streams) (int, error) {
		interrupt()
		if got := <-s.Signals; got != "SIGINT" {
			t.Errorf("it got %s", got)
		}
		return 130, nil
	}
	b.drivers.Runs = runs
	end := Once(ctx, t.Context(), b.drivers, command)
	if !errors.Is(end.Err, context.Canceled) || len(end.Written) != 1 || end.Kept {
		t.Errorf("%+v", end)
	}
}

// TestOnceInterruptedTwice ends the waiting as well: nothing is waited for, and the guest is forced to stop.
func TestOnceInterruptedTwice(t *testing.T) {
	b, command := newCommand(t)
	ctx, interrupt := context.WithCancel(t.Context())
	waiting, stopWaiting := context.WithCancel(t.Context())
	runs := &onceRuns{Runs: b.workspaces}
	runs.exec = func(ctx context.Context, _ driver.Streams) (int, error) {
		interrupt()
		stopWaiting()
		<-ctx.Done()
		return 0, ctx.Err()
	}
	b.drivers.Runs = runs
	end := Once(ctx, waiting, b.drivers, command)
	if !errors.Is(end.Err, context.Canceled) || end.Kept || end.Cleanup != nil {
		t.Errorf("%+v", end)
	}
	if !slices.Equal(runs.stops, []driver.StopOptions{{Force: true}}) {
		t.Errorf("stopped with %+v", runs.stops)
	}
}

// TestOnceInterruptedAtStart: a start that is broken off leaves no workspace.
func TestOnceInterruptedAtStart(t *testing.T) {
	b, command := newCommand(t)
	ctx, interrupt := context.WithCancel(t.Context())
	b.workspaces.Fail = func(op, _ string) error {
		if op == "start" {
			interrupt()
			return context.Canceled
		}
		return nil
	}
	end := Once(ctx, t.Context(), b.drivers, command)
	if !errors.Is(end.Err, context.Canceled) || end.Kept {
		t.Errorf("%+v", end)
	}
	if _, err := b.workspaces.Get(t.Context(), "one"); !errors.Is(err, driver.ErrNotFound) {
		t.Errorf("the workspace: %v", err)
	}
}

// TestWriteKeepsOffWhatIsThere: something else at an output's place stays, unless it is the same tree or may be replaced.
func TestWriteKeepsOffWhatIsThere(t *testing.T) {
	b, _ := newCommand(t)
	path := filepath.Join(b.dir, "out", "count")
	write := func(data string, f driver.Fetched, how Writing) (driver.Fetched, error) {
		return Write(t.Context(), b.drivers.Outputs, bytes.NewReader(drivertest.Tar(t, drivertest.Entry{Name: ".", Data: data})), f, path, how)
	}
	first, err := write("1", driver.Fetched{Name: "count"}, Writing{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := write("1", driver.Fetched{Name: "count", Digest: first.Digest}, Writing{}); err != nil {
		t.Errorf("the same tree: %v", err)
	}
	if _, err := write("2", driver.Fetched{Name: "count", Digest: "another"}, Writing{}); !errors.Is(err, driver.ErrRefused) {
		t.Errorf("another tree: %v", err)
	}
	if _, err := write("2", driver.Fetched{Name: "count", Digest: "another"}, Writing{Over: true}); err != nil {
		t.Errorf("another tree that may replace: %v", err)
	}
}

// TestOnceInterruptedWhileWriting: a second ^C while an output is written leaves it where it was collected.
func TestOnceInterruptedWhileWriting(t *testing.T) {
	b, command := newCommand(t)
	ctx, interrupt := context.WithCancel(t.Context())
	waiting, stopWaiting := context.WithCancel(t.Context())
	runs := &onceRuns{Runs: b.workspaces, outputs: map[string][]byte{"count": drivertest.Tar(t, drivertest.Entry{Name: ".", Data: "1"})},
		exec: func(context.Context, driver.Streams) (int, error) { return 0, nil }}
	b.drivers.Runs, b.drivers.Outputs = runs, brokenOff{b.drivers.Outputs, func() { interrupt(); stopWaiting() }}
	end := Once(ctx, waiting, b.drivers, command)
	if len(end.Unwritten) != 1 || !end.Kept || end.Cleanup != nil {
		t.Errorf("%+v", end)
	}
	if ws, err := b.workspaces.Get(t.Context(), "one"); err != nil || ws.Spec.OneShot {
		t.Errorf("the workspace: %+v, %v", ws.Spec, err)
	}
}

// brokenOff are outputs that a user interrupts while they are written.
type brokenOff struct {
	driver.Outputs
	interrupt func()
}

func (o brokenOff) Publish(ctx context.Context, _ io.Reader, _ driver.Target, _ driver.Publishing) (driver.Fetched, error) {
	o.interrupt()
	return driver.Fetched{}, ctx.Err()
}

// TestOnceLeavesTheWayToItsOutputs: what a dead guest had not handed over is brought out by the command that is printed.
func TestOnceLeavesTheWayToItsOutputs(t *testing.T) {
	b, command := newCommand(t)
	b.drivers.Runs = &onceRuns{Runs: b.workspaces, exec: func(context.Context, driver.Streams) (int, error) { return 0, driver.ErrUnavailable }}
	end := Once(t.Context(), t.Context(), b.drivers, command)
	want := "microagent cp -r one:/count " + filepath.Join(b.dir, "count")
	if !end.Lost || len(end.Unwritten) != 1 || driver.Next(end.Unwritten[0]) != want {
		t.Errorf("%v, next: %s", end.Unwritten, driver.Next(errors.Join(end.Unwritten...)))
	}
}
