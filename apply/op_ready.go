package apply

import (
	"context"
	"errors"

	"microagent/plan"
	"microagent/runtime/driver"
	"microagent/schema/spec"
)

// waitReady waits until a workspace is ready for those that come after it: as soon as it was started.
func (r *run) waitReady(ctx context.Context, c *plan.Change) error {
	if c.Action != plan.ActionWait || c.Workspace == nil {
		return unknownOperation(c)
	}
	name := c.Workspace.Name
	ws, err := r.drivers.Workspaces.Get(ctx, name)
	switch {
	case err != nil:
		return err
	case ws.Run == nil || !ws.Run.Phase.Alive():
		return &driver.Error{Class: driver.ErrGuest, Op: "wait for workspace", Object: name,
			Err: errors.New("it does not run any more"), Next: "read what it wrote: microagent logs " + name}
	case ws.Run.Phase == spec.PhaseStarting:
		_, err = r.drivers.Runs.Start(ctx, name, driver.StartOptions{}) // which waits for the start that is under way
	}
	return err
}
