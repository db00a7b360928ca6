package apply

import (
	"context"

	"microagent/plan"
)

// waitReady waits until a workspace is ready for those that come after it, also when this apply waits for no other.
func (r *run) waitReady(ctx context.Context, c *plan.Change) error {
	if c.Action != plan.ActionWait || c.Workspace == nil {
		return unknownOperation(c)
	}
	return r.awaitReady(ctx, *c.Workspace)
}
