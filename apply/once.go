package apply

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"al.essio.dev/pkg/shellescape"

	"microagent/plan/observed"
	"microagent/runtime/driver"
)

// Command is a command that is run once in a workspace that Single made for it.
type Command struct {
	Workspace driver.Workspace
	Spec      observed.WorkspaceSpec // as given to Single: what is run, with the image's config
	Timeout   time.Duration          // 0: none
	Keep      bool                   // the workspace stays in any case
	Outputs   []HostOutput           // of Workspace, to be written to the host
	How       Writing
	// Start starts the workspace; nil is the driver's own. It may say meanwhile what a start waits for.
	Start func(ctx context.Context, name string) (driver.Run, error)
	// Streams connects the command, once its guest is ready; done ends that.
	Streams func(ctx context.Context) (s driver.Streams, done func(), err error)
}

// HostOutput is where an output is to lie on the host.
type HostOutput struct{ Name, Path string }

// CommandEnd is what became of a command, its outputs and its workspace.
type CommandEnd struct {
	Code int // of the command, when it ran to its end: Err is nil then
	// Err is why it did not run, or not to its end. It is an ErrTimeout when its time ran out, and the context's error when
	// that ended.
	Err       error
	Written   []driver.Fetched // outputs that lie on the host
	Unwritten []error          // why others don't
	Lost      bool             // the run ended before outputs were collected: what there is of them lies in the workspace
	// Kept says that the workspace is there still, stopped: because it was to be, or since it has what an output would
	// have brought.
	Kept bool
	// Cleanup is why the workspace could not be stopped, kept or deleted.
	Cleanup error
}

// interruptGrace is how long a command may take to end after it was interrupted.
const interruptGrace = 10 * time.Second

// Once starts the workspace, runs the command, writes its outputs, stops the workspace and deletes it. When ctx ends, the
// command is interrupted, then killed, and its outputs come out all the same; when waiting ends, nothing is waited for. An
// output that is there and could not be written keeps the workspace, and so does a guest or supervisor that died before
// outputs were collected: nothing of a run is lost by its end. A guest of which nothing stays is ended without being shut down.
func Once(ctx, waiting context.Context, d driver.Set, c Command) CommandEnd {
	name, always := c.Workspace.Spec.Name, context.WithoutCancel(ctx)
	end, keep := c.run(ctx, waiting, d)
	end.Kept = keep || c.Keep
	if err := stopCommand(waiting, always, d, name, end.Kept || leavesWrites(c.Workspace.Spec)); err != nil {
		end.Kept, end.Cleanup = true, err
		return end
	}
	switch {
	case keep && !c.Keep: // it was to be gone with this process
		spec := c.Workspace.Spec
		spec.OneShot = false
		_, end.Cleanup = d.Workspaces.Update(always, spec)
	case !keep && !c.Keep:
		if end.Cleanup = d.Workspaces.Delete(always, name); end.Cleanup != nil {
			end.Kept = true
		}
	}
	if !end.Kept {
		end.Err = withoutWorkspace(end.Err, name)
		for i, err := range end.Unwritten {
			end.Unwritten[i] = withoutWorkspace(err, name)
		}
	}
	return end
}

// run starts the workspace and runs the command. keep says that the workspace has what the host lacks.
func (c Command) run(ctx, waiting context.Context, d driver.Set) (end CommandEnd, keep bool) {
	name := c.Workspace.Spec.Name
	img, err := d.Images.Get(ctx, c.Workspace.Spec.ImageDigest)
	if err != nil {
		return CommandEnd{Err: err}, false
	}
	argv := Argv(c.Spec, img.Config)
	if len(argv) == 0 {
		return CommandEnd{Err: &driver.Error{Class: driver.ErrInvalid, Op: "run", Object: c.Workspace.Spec.Image,
			Err: errors.New("the image has no command, and none was given"), Next: "name one, such as: microagent run " + shellescape.Quote(c.Workspace.Spec.Image) + " sh"}}, false
	}
	start := c.Start
	if start == nil {
		start = func(ctx context.Context, name string) (driver.Run, error) {
			return d.Runs.Start(ctx, name, driver.StartOptions{})
		}
	}
	_, err = start(ctx, name)
	switch {
	case ctx.Err() != nil:
		return CommandEnd{Err: ctx.Err()}, false
	case err != nil:
		return CommandEnd{Err: err}, false
	}
	streams, done, err := c.Streams(waiting)
	if err != nil {
		return CommandEnd{Err: err}, false
	}
	streams.Signals = sendInterrupts(ctx, waiting)
	end.Code, end.Err = d.Runs.Exec(waiting, name, driver.ExecSpec{Argv: argv, Timeout: c.Timeout, Collect: len(c.Outputs) > 0}, streams)
	done()
	err = end.Err
	if ctx.Err() != nil {
		end.Err = ctx.Err()
	}
	switch {
	case err == nil, errors.Is(err, driver.ErrTimeout):
		return end, c.write(waiting, d, &end)
	case waiting.Err() == nil && (errors.Is(err, driver.ErrGuest) || errors.Is(err, driver.ErrUnavailable)):
		end.Unwritten = c.leftInside()
		end.Lost = len(end.Unwritten) > 0
		return end, end.Lost
	}
	return end, false // it never ran, or is waited for no longer
}

// leftInside says of each output that the run ended before it was collected: what there is of it lies in the workspace.
func (c Command) leftInside() (list []error) {
	for _, declared := range c.Workspace.Spec.Outputs {
		for _, o := range c.Outputs {
			if o.Name == declared.Name {
				list = append(list, &driver.Error{Op: "write output", Object: o.Name, Err: errors.New("the run ended before it was collected"),
					Next: shellescape.QuoteCommand([]string{"microagent", "cp", "-r", c.Workspace.Spec.Name + ":" + declared.Path, o.Path})})
			}
		}
	}
	return list
}

// write brings what was collected to the host. A command that failed need not have come to write an output.
func (c Command) write(ctx context.Context, d driver.Set, end *CommandEnd) (keep bool) {
	failed := end.Err != nil || end.Code != 0
	for _, o := range c.Outputs {
		got, err := c.writeOne(ctx, d, o)
		if err == nil {
			end.Written = append(end.Written, got)
			continue
		}
		end.Unwritten = append(end.Unwritten, err)
		keep = keep || !failed || !got.Missing
	}
	return keep
}

func (c Command) writeOne(ctx context.Context, d driver.Set, o HostOutput) (driver.Fetched, error) {
	tree, f, err := d.Runs.OutputFile(ctx, c.Workspace.Spec.Name, o.Name)
	if err != nil {
		return f, err
	}
	defer tree.Close()
	return Write(ctx, d.Outputs, tree, f, o.Path, c.How)
}

// leavesWrites says whether a workspace writes to more than its root file system, which is deleted with it.
func leavesWrites(w driver.WorkspaceSpec) bool {
	return slices.ContainsFunc(w.Mounts, func(m driver.Mount) bool { return !m.ReadOnly })
}

// stopCommand shuts a guest down that leaves something, and ends it without asking otherwise, or once waiting has ended.
func stopCommand(waiting, ctx context.Context, d driver.Set, name string, leaves bool) error {
	var err error
	if waiting.Err() == nil {
		_, err = d.Runs.Stop(waiting, name, driver.StopOptions{Force: !leaves})
	}
	if waiting.Err() != nil {
		_, err = d.Runs.Stop(ctx, name, driver.StopOptions{Force: true})
	}
	return err
}

// sendInterrupts gives the signals for a process once ctx has ended: it is interrupted, and killed after a grace.
func sendInterrupts(ctx, waiting context.Context) <-chan string {
	signals := make(chan string)
	go func() {
		defer close(signals)
		select {
		case <-ctx.Done():
		case <-waiting.Done():
			return
		}
		select {
		case signals <- "SIGINT":
		case <-waiting.Done():
			return
		}
		select {
		case <-time.After(interruptGrace):
		case <-waiting.Done():
			return
		}
		select {
		case signals <- "SIGKILL":
		case <-waiting.Done():
		}
	}()
	return signals
}

// withoutWorkspace takes out of an error what leads into a workspace that is deleted by now.
func withoutWorkspace(err error, name string) error {
	if crash, ok := errors.AsType[*driver.CrashError](err); ok {
		crash.Log = ""
	}
	if e, ok := errors.AsType[*driver.Error](err); ok && strings.Contains(driver.Next(e), name) {
		e.Next = "run it with --keep, which leaves the workspace and its console to look at"
	}
	return err
}
