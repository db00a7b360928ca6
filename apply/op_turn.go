package apply

import (
	"context"

	"microagent/plan"
	"microagent/runtime/driver"
)

// giveTurn stops a workspace that another change starts again, after a task that uses the same volume or disk.
func (r *run) giveTurn(ctx context.Context, c *plan.Change) error {
	if c.Action != plan.ActionStop || c.Workspace == nil {
		return unknownOperation(c)
	}
	_, err := r.drivers.Runs.Stop(ctx, c.Workspace.Name, driver.StopOptions{})
	return err
}
