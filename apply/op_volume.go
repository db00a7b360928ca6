package apply

import (
	"context"

	"microagent/plan"
	"microagent/runtime/driver"
)

func (r *run) applyVolume(ctx context.Context, c *plan.Change) error {
	if c.Volume == nil {
		return unknownOperation(c)
	}
	v := c.Volume
	switch c.Action {
	case plan.ActionCreate:
		if _, _, err := r.drivers.Volumes.Create(ctx, driver.VolumeSpec{Name: v.Name, Project: r.plan.Project, Size: v.Size}); err != nil {
			return err
		}
		if !v.Protected {
			return nil
		}
		return r.drivers.Volumes.Protect(ctx, v.Name, true)
	case plan.ActionGrow, plan.ActionUpdate:
		if _, err := r.drivers.Volumes.Grow(ctx, v.Name, v.Size); err != nil {
			return err
		}
		return r.drivers.Volumes.Protect(ctx, v.Name, v.Protected)
	}
	return unknownOperation(c)
}
