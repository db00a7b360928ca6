package apply

import (
	"context"
	"fmt"
	"time"

	"microagent/apply/refresh"
	"microagent/plan"
	"microagent/runtime/driver"
	"microagent/schema/printable"
	"microagent/schema/spec"
)

func (r *run) runTask(ctx, whole context.Context, c *plan.Change) error {
	if c.Workspace == nil {
		return unknownOperation(c)
	}
	name := c.Workspace.Name
	switch c.Action {
	case plan.ActionRun:
		key, err := r.runKey(whole, c)
		if err != nil {
			return err
		}
		if err := r.snapshot(whole, c, func(string) {}); err != nil {
			return err
		}
		if _, err := r.drivers.Runs.Start(whole, name, driver.StartOptions{RunKey: key, Fresh: r.fresh}); err != nil {
			return err
		}
	case plan.ActionWait:
	default:
		return unknownOperation(c)
	}
	r.begun(c.Address)
	end := r.show(ctx, c)
	run, err := r.drivers.Runs.Wait(ctx, name)
	end()
	if ctx.Err() != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.stillRunning = append(r.stillRunning, name)
		return errStillRunning
	}
	if err != nil {
		return err
	}
	return judge(whole, r.drivers, name, c.Workspace.Timeout, run)
}

// runKey is the plan's, or computed now when the plan could not know all its parts.
func (r *run) runKey(ctx context.Context, c *plan.Change) (string, error) {
	if c.RunKey != "" {
		return c.RunKey, nil
	}
	ws, err := r.drivers.Workspaces.Get(ctx, c.Workspace.Name)
	if err != nil {
		return "", err
	}
	want, err := refresh.Applied(ws.Spec)
	if err != nil {
		return "", err
	}
	var runs []string
	for _, name := range c.Writers {
		writer, err := r.drivers.Workspaces.Get(ctx, name)
		if err != nil {
			return "", err
		}
		if writer.Run == nil {
			return "", &driver.Error{Class: driver.ErrStale, Op: "run task of workspace", Object: c.Workspace.Name,
				Err: fmt.Errorf("workspace %s, which comes before it, never ran", name), Next: "make a new plan: microagent plan"}
		}
		runs = append(runs, writer.Run.ID)
	}
	return plan.RunKey(want, ws.ID, runs...)
}

// judge turns the end of a run into the change's outcome.
func judge(ctx context.Context, d driver.Set, name string, timeout time.Duration, run driver.Run) error {
	switch {
	case run.Phase == spec.PhaseFailed:
		return &driver.Error{Class: driver.ErrGuest, Op: "run task of workspace", Object: name, Err: run.Crash(name)}
	case run.Phase == spec.PhaseLost:
		return &driver.Error{Class: driver.ErrGuest, Op: "run task of workspace", Object: name,
			Err: fmt.Errorf("its supervisor is gone and left no result"), Next: "to run the task once more: microagent apply"}
	case run.Stopped && run.ExitCode == nil:
		return &driver.Error{Class: driver.ErrGuest, Op: "run task of workspace", Object: name,
			Err: fmt.Errorf("it was stopped before its end"), Next: "to run the task once more: microagent apply"}
	case run.ExitCode == nil:
		return &driver.Error{Class: driver.ErrGuest, Op: "run task of workspace", Object: name,
			Err: fmt.Errorf("it ended without an exit code: %s", run.Error), Next: "to run the task once more: microagent apply"}
	case *run.ExitCode == 0 && !run.TimedOut:
		return nil
	}
	failure := &TaskError{Workspace: name, ExitCode: *run.ExitCode, TimedOut: run.TimedOut, Timeout: timeout, Written: lastWritten(ctx, d.Runs, name)}
	next := "read what it wrote: microagent logs " + name
	if failure.OutOfMemory = outOfMemory(ctx, d, name, run); failure.OutOfMemory != "" {
		next = "what the kernel says: microagent logs --console " + name
	}
	return &driver.Error{Class: driver.ErrGuest, Op: "run", Object: "task/" + name, Err: failure, Next: next}
}

// outOfMemory says that a run came to its end because its guest had too little memory; "" when it did not.
func outOfMemory(ctx context.Context, d driver.Set, name string, ended driver.Run) string {
	if ended.OutOfMemory == "" {
		return ""
	}
	ws, err := d.Workspaces.Get(ctx, name)
	if err != nil {
		return "" // it was deleted meanwhile
	}
	return driver.OutOfMemory(printable.Line(ended.OutOfMemory), ws.Spec.Memory)
}
