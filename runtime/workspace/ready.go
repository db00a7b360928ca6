package workspace

import (
	"context"
	"errors"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/supervise/control"
)

// lastWordsLimit is how long a supervisor may take to say how a run stands that is waited for no longer.
const lastWordsLimit = time.Second

// AwaitReady asks the supervisor.
func (s *Store) AwaitReady(ctx context.Context, name string) (driver.Run, error) {
	const op = driver.OpAwaitReady
	of, err := s.need(op, name)
	if err != nil {
		return driver.Run{}, err
	}
	client, err := s.client(op, name)
	if err != nil {
		return driver.Run{}, err
	}
	run, err := client.Ready(ctx)
	switch {
	case ctx.Err() != nil:
		asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWordsLimit)
		defer cancel()
		run, _, _ = client.Status(asking) // what the probe says last, if anything
		return run, ctx.Err()
	case run.ID == "" && errors.Is(err, driver.ErrUnsupported): // an older supervisor, without probes
		run, _, err = client.Status(ctx)
	}
	if errors.Is(err, control.ErrGone) { // it ended
		if last, readErr := control.ReadRun(client.Folder); readErr == nil && last != nil {
			run = *last
		}
	}
	if notReady := run.NotReady(name, of.Spec.Process.Mode); notReady != nil && run.Phase.Alive() {
		return run, notReady
	}
	if err != nil {
		return run, s.controlError(ctx, op, name, name, err)
	}
	return run, nil
}
