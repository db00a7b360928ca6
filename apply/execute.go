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
		return r.project(whole, c)
	case plan.KindImage:
		return r.pullImage(ctx, c, p)
	case plan.KindBundle:
		return r.bundle(ctx, c, p)
	case plan.KindVolume:
		return r.volume(whole, c)
	case plan.KindWorkspace:
		return r.workspace(ctx, whole, c, p)
	case plan.KindTask:
		return r.task(ctx, whole, c)
	case plan.KindOutput:
		return r.output(ctx, c)
	}
	return unknown(c)
}

func unknown(c *plan.Change) error {
	return &driver.Error{Class: driver.ErrUnsupported, Op: "apply", Object: c.Address.String(),
		Err: fmt.Errorf("no operation %q on a %s", c.Action, c.Address.Kind), Next: "use the microagent that made this plan"}
}
