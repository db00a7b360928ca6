package apply

import (
	"context"
	"errors"

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
	case plan.ActionMove, plan.ActionGrow, plan.ActionUpdate:
		if err := r.moveVolume(ctx, v); err != nil {
			return err
		}
		if _, err := r.drivers.Volumes.Grow(ctx, v.Name, v.Size); err != nil {
			return err
		}
		return r.drivers.Volumes.Protect(ctx, v.Name, v.Protected)
	}
	return unknownOperation(c)
}

// moveVolume gives a volume its new name, once the workspace that has it is stopped. Its own change starts that again.
func (r *run) moveVolume(ctx context.Context, v *plan.VolumeObject) error {
	if v.From == "" {
		return nil
	}
	now, err := r.drivers.Volumes.Get(ctx, v.From)
	if err != nil {
		return err
	}
	if now.Attached && now.Holder != nil && now.Holder.Workspace == v.Holder {
		if _, err := r.drivers.Runs.Stop(ctx, v.Holder, driver.StopOptions{}); err != nil && !errors.Is(err, driver.ErrNotFound) {
			return err
		}
	}
	return r.drivers.Volumes.Move(ctx, v.From, v.Name, r.plan.Project)
}
