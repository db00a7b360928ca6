package apply

import (
	"context"
	"errors"
	"fmt"
	"time"

	"microagent/runtime/driver"
	"microagent/schema/spec"
)

// Started is a workspace that was started, by a walk or by hand.
type Started struct {
	Name string // on disk
	Mode spec.Mode
	Run  driver.Run // as its start gave it
}

// AwaitReady waits until a workspace that was started is ready, for limit (0: until its probe decides). What is not so in time
// goes on. A *ServiceError says that its service ended meanwhile.
func (s Started) AwaitReady(ctx context.Context, d driver.Set, limit time.Duration) (driver.Run, error) {
	waiting, cancel := ctx, context.CancelFunc(func() {})
	if limit > 0 {
		waiting, cancel = context.WithTimeout(ctx, limit)
	}
	defer cancel()
	run, err := d.Runs.AwaitReady(waiting, s.Name)
	switch {
	case err == nil:
		return run, nil
	case ctx.Err() != nil:
		return run, ctx.Err()
	case errors.Is(err, context.DeadlineExceeded) && waiting.Err() != nil:
		return run, s.notReadyInTime(run, limit)
	case run.ID != "" && !run.Phase.Alive() && !run.Stopped && s.Mode == spec.ModeService:
		return run, s.endedEarly(ctx, d, run)
	}
	return run, err
}

// AwaitStanding watches a service for as long after its start as a program needs that is not there or refuses its
// configuration, and gives a *ServiceError when it has ended by then. What was started longer ago, or has no service, is not
// waited for.
func (s Started) AwaitStanding(ctx context.Context, d driver.Set) error {
	if s.Mode != spec.ModeService || s.Run.Ready == nil {
		return nil
	}
	settles := driver.Settling(s.Run.Ready.Sub(s.Run.Started))
	early, cancel := context.WithTimeout(ctx, min(settles, settles-time.Since(*s.Run.Ready)))
	defer cancel()
	ended, err := d.Runs.Wait(early, s.Name)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case early.Err() != nil:
		ws, err := d.Workspaces.Get(ctx, s.Name)
		if err != nil || ws.Run == nil || ws.Run.Phase.Alive() {
			return nil
		}
		ended = *ws.Run // and its guest is going down still
	case err != nil:
		return err
	}
	return s.endedEarly(ctx, d, ended)
}

// AwaitCompleted waits for the end of a task that was started, and gives the error of one that did not end well.
func (s Started) AwaitCompleted(ctx context.Context, d driver.Set) (driver.Run, error) {
	run, err := d.Runs.Wait(ctx, s.Name)
	if err != nil {
		return run, err
	}
	ws, err := d.Workspaces.Get(ctx, s.Name)
	if err != nil {
		return run, err
	}
	return run, judge(ctx, d, s.Name, ws.Spec.Process.Timeout, run)
}

// endedEarly is the error of a service that ended where it was expected to stay.
func (s Started) endedEarly(ctx context.Context, d driver.Set, ended driver.Run) error {
	failure := &ServiceError{Workspace: s.Name, ExitCode: ended.ExitCode, Reason: ended.Error, Written: lastWritten(ctx, d.Runs, s.Name),
		OutOfMemory: outOfMemory(ctx, d, s.Name, ended)}
	if ended.Stopped {
		failure.ExitCode, failure.Reason = nil, "another command stopped it"
	}
	return &driver.Error{Class: driver.ErrGuest, Op: "start service of workspace", Object: s.Name, Err: failure,
		Next: "read what it wrote: microagent logs " + s.Name}
}

// OutOfTime says that err is about a workspace that was not ready within Options.WaitTimeout.
func OutOfTime(err error) bool {
	_, ok := errors.AsType[*notInTimeError](err)
	return ok
}

// notInTimeError is of a workspace that goes on.
type notInTimeError struct {
	limit time.Duration
	said  string // by its probe
}

func (e *notInTimeError) Error() string {
	return fmt.Sprintf("it is not ready after %s, and goes on%s", e.limit, e.said)
}

// notReadyInTime is the error of a workspace that is not ready within limit, of class ErrTimeout.
func (s Started) notReadyInTime(run driver.Run, limit time.Duration) error {
	why := &notInTimeError{limit: limit}
	if run.Readiness != nil && run.Readiness.Words != "" {
		why.said = ": " + run.Readiness.Probe + ": " + run.Readiness.Words
	}
	return &driver.Error{Class: driver.ErrTimeout, Op: driver.OpAwaitReady, Object: s.Name, Err: why, Next: driver.NextNotReady(s.Name, s.Mode)}
}
