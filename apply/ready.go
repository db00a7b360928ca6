package apply

import (
	"context"
	"errors"
	"fmt"
	"time"

	"microagent/plan/observed"
	"microagent/runtime/driver"
	"microagent/runtime/event"
	"microagent/schema/spec"
)

// awaitReady waits until a workspace that was started is ready. What is not in time goes on.
func (r *run) awaitReady(ctx context.Context, want observed.WorkspaceSpec) error {
	waiting, cancel := ctx, context.CancelFunc(func() {})
	if r.waitTimeout > 0 {
		waiting, cancel = context.WithTimeout(ctx, r.waitTimeout)
	}
	defer cancel()
	run, err := r.drivers.Runs.AwaitReady(waiting, want.Name)
	switch {
	case err == nil:
		r.events.Emit(event.Event{Type: event.TypeReady, Time: time.Now(), Address: r.address(want.Name).String(), Message: want.Ready.Probe()})
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, context.DeadlineExceeded) && waiting.Err() != nil:
		return NotReadyInTime(want.Name, run, r.waitTimeout)
	case run.ID != "" && !run.Phase.Alive() && !run.Stopped && want.Mode == spec.ModeService:
		return r.endedEarly(ctx, want.Name, run)
	}
	return err
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

// NotReadyInTime is the error of a workspace that is not ready within limit, of class ErrTimeout.
func NotReadyInTime(name string, run driver.Run, limit time.Duration) error {
	why := &notInTimeError{limit: limit}
	if run.Readiness != nil && run.Readiness.Words != "" {
		why.said = ": " + run.Readiness.Probe + ": " + run.Readiness.Words
	}
	return &driver.Error{Class: driver.ErrTimeout, Op: "wait until workspace is ready", Object: name, Err: why, Next: "microagent logs " + name}
}
