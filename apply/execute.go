package apply

import (
	"context"
	"fmt"

	"microagent/plan"
	"microagent/runtime/driver"
)

// execute finds the operation for a change. What can be abandoned half-way without a trace (pulls, builds, waiting)
// gets ctx; what changes an object is short and is always let finish.
func (r *run) execute(ctx context.Context, c *plan.Change, p driver.Progress) error {
	whole := context.WithoutCancel(ctx)
	switch c.Address.Kind {
	case plan.KindProject:
		return r.applyProject(whole, c)
	case plan.KindImage:
		return r.pullImage(ctx, c, p)
	case plan.KindBundle:
		return r.applyBundle(ctx, c, p)
	case plan.KindVolume:
		return r.applyVolume(whole, c)
	case plan.KindWorkspace:
		return r.applyWorkspace(ctx, whole, c, p)
	case plan.KindRename:
		return r.renameWorkspace(whole, c)
	case plan.KindTurn:
		return r.giveTurn(whole, c)
	case plan.KindReady:
		return r.waitReady(ctx, c)
	case plan.KindTask:
		return r.runTask(ctx, whole, c)
	case plan.KindOutput:
		return r.collectOutput(ctx, c)
	}
	return unknownOperation(c)
}

func unknownOperation(c *plan.Change) error {
	return &driver.Error{Class: driver.ErrUnsupported, Op: "apply", Object: c.Address.String(),
		Err: fmt.Errorf("no operation %q on a %s", c.Action, c.Address.Kind), Next: "use the microagent that made this plan"}
}
