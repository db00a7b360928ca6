package cli

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/pflag"

	"microagent/apply"
	"microagent/runtime/driver"
)

// waitFlags bound how long it is waited until a workspace is ready.
type waitFlags struct{ timeout time.Duration }

func (o *waitFlags) add(f *pflag.FlagSet) {
	spanVar(f, &o.timeout, "wait-timeout", "how long to wait for each workspace to be ready (default: until its probe gives up)")
}

// awaitReady waits until a workspace that was started is ready.
func awaitReady(ctx context.Context, w *world, name string, limit time.Duration) (driver.Run, error) {
	waiting, cancel := ctx, context.CancelFunc(func() {})
	if limit > 0 {
		waiting, cancel = context.WithTimeout(ctx, limit)
	}
	defer cancel()
	run, err := w.Runs.AwaitReady(waiting, name)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = apply.NotReadyInTime(name, run, limit)
	}
	return run, err
}
