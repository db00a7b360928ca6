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
		spec := driver.VolumeSpec{Name: v.Name, Project: r.plan.Project, Size: v.Size, From: v.Source}
		if v.Image != "" {
			spec.Image = &driver.VolumeImage{Files: r.files, Path: v.Image}
		}
		if v.Bundle != "" {
			disk, err := r.drivers.Disks.FindBundle(ctx, v.Bundle)
			if err != nil {
				return err
			}
			spec.Bundle = disk.Path
		}
		if _, _, err := r.drivers.Volumes.Create(ctx, spec); err != nil {
			return err
		}
		if !v.Protected {
			return nil
		}
		return r.drivers.Volumes.Protect(ctx, v.Name, true)
	case plan.ActionReplace:
		return r.replaceVolume(ctx, c)
	case plan.ActionMove, plan.ActionGrow, plan.ActionUpdate:
		if err := r.moveVolume(ctx, v); err != nil {
			return err
		}
		if _, err := r.drivers.Volumes.Grow(ctx, v.Name, v.Size, driver.ByApply); err != nil {
			return err
		}
		return r.drivers.Volumes.Protect(ctx, v.Name, v.Protected)
	}
	return unknownOperation(c)
}

// replaceVolume makes a volume anew and empty, once the workspace that has it is stopped. Its own change starts that again.
func (r *run) replaceVolume(ctx context.Context, c *plan.Change) error {
	v := c.Volume
	if !c.Loss {
		return unknownOperation(c)
	}
	if err := r.stopHolder(ctx, v.Name, v.Holder); err != nil {
		return err
	}
	if err := r.drivers.Volumes.Delete(ctx, v.Name); err != nil {
		return err
	}
	if _, _, err := r.drivers.Volumes.Create(ctx, driver.VolumeSpec{Name: v.Name, Project: r.plan.Project, Size: v.Size}); err != nil || !v.Protected {
		return err
	}
	return r.drivers.Volumes.Protect(ctx, v.Name, true)
}

// stopHolder stops a workspace that has a volume, if it still has.
func (r *run) stopHolder(ctx context.Context, volume, holder string) error {
	now, err := r.drivers.Volumes.Get(ctx, volume)
	if err != nil {
		return err
	}
	if now.Attached && now.Holder != nil && now.Holder.Workspace == holder {
		if _, err := r.drivers.Runs.Stop(ctx, holder, driver.StopOptions{}); err != nil && !errors.Is(err, driver.ErrNotFound) {
			return err
		}
	}
	return nil
}

// moveVolume gives a volume its new name, once the workspace that has it is stopped. Its own change starts that again.
func (r *run) moveVolume(ctx context.Context, v *plan.VolumeObject) error {
	if v.From == "" {
		return nil
	}
	if err := r.stopHolder(ctx, v.From, v.Holder); err != nil {
		return err
	}
	return r.drivers.Volumes.Move(ctx, v.From, v.Name, r.plan.Project)
}
