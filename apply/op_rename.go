package apply

import (
	"context"
	"errors"

	"microagent/plan"
	"microagent/runtime/driver"
)

// renameWorkspace gives a workspace its new name, once it is stopped. Its own change starts it again.
func (r *run) renameWorkspace(ctx context.Context, c *plan.Change) error {
	if c.Action != plan.ActionMove || c.Rename == nil {
		return unknownOperation(c)
	}
	if _, err := r.drivers.Runs.Stop(ctx, c.Rename.From, driver.StopOptions{}); err != nil && !errors.Is(err, driver.ErrNotFound) {
		return err
	}
	return r.drivers.Workspaces.Move(ctx, c.Rename.From, c.Rename.Name, r.plan.Project)
}
