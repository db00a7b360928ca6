package cli

import (
	"context"
	"time"

	"github.com/spf13/pflag"

	"microagent/apply"
	"microagent/runtime/driver"
	"microagent/schema/spec"
)

// waitFlags say whether and for how long it is waited until what a command starts is ready.
type waitFlags struct {
	wait    bool
	timeout time.Duration
}

func (o *waitFlags) add(f *pflag.FlagSet) {
	spanVar(f, &o.timeout, "wait-timeout", "how long to wait for each workspace to be ready (default: until its probe gives up)")
}

func (o *waitFlags) check(command string) error {
	if o.timeout > 0 && !o.wait {
		return usagef("microagent "+command, "--wait-timeout is for --wait")
	}
	return nil
}

// bringUpIn is bringUp when the turn in a sequence has come. Of a task that others of it come after the end is waited for.
func (a *app) bringUpIn(ctx context.Context, w *world, seq *apply.Sequence, ws driver.Workspace, o driver.StartOptions, until waitFlags) (run driver.Run, err error) {
	needed := seq.Needed(ws.Spec.Name)
	until.wait = until.wait || needed == spec.UntilReady
	err = seq.Up(ctx, ws.Spec.Name, func() error {
		run, err = a.bringUp(ctx, w, ws, o, until)
		if err != nil || needed != spec.UntilCompleted {
			return err
		}
		run, err = apply.Started{Name: ws.Spec.Name, Mode: ws.Spec.Process.Mode, Run: run}.AwaitCompleted(ctx, w.Set)
		return err
	})
	return run, err
}

// bringUp starts a workspace and returns when it is ready, where that is asked for and it has a probe, and else once its
// service, if any, did not end at once.
func (a *app) bringUp(ctx context.Context, w *world, ws driver.Workspace, o driver.StartOptions, until waitFlags) (driver.Run, error) {
	run, err := a.startGuest(ctx, w, ws.Spec.Name, o, false)
	if err != nil {
		return run, err
	}
	started := apply.Started{Name: ws.Spec.Name, Mode: ws.Spec.Process.Mode, Run: run}
	if until.wait && ws.Spec.Ready != nil {
		return started.AwaitReady(ctx, w.Set, until.timeout)
	}
	return run, started.AwaitStanding(ctx, w.Set)
}
