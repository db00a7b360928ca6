package apply

import (
	"context"
	"errors"
	"syscall"

	"microagent/plan"
	"microagent/runtime/driver"
)

// takeAway removes a workspace that does not run. Its root file system is kept, unless there is no room for that and the
// user gave it up by name.
func (r *run) takeAway(ctx context.Context, c *plan.Change, name string) error {
	err := r.drivers.Workspaces.Retire(ctx, name)
	switch {
	case !noRoom(err):
		return err
	case !c.Loss:
		return KeepError(err, name, r.giveUp(c))
	}
	return r.drivers.Workspaces.Delete(ctx, name)
}

// replaceWorkspace gives a workspace a new root file system, for which there may be room only without the old one.
func (r *run) replaceWorkspace(ctx context.Context, c *plan.Change, spec driver.WorkspaceSpec, p driver.Progress) error {
	_, err := r.drivers.Workspaces.Replace(ctx, spec, p)
	switch {
	case !noRoom(err):
		return err
	case !c.Loss:
		return KeepError(err, spec.Name, r.giveUp(c))
	}
	if err := r.drivers.Workspaces.Delete(ctx, spec.Name); err != nil {
		return err
	}
	_, err = r.drivers.Workspaces.Create(ctx, spec, p)
	return err
}

func noRoom(err error) bool {
	return errors.Is(err, driver.ErrNoSpace) || errors.Is(err, syscall.ENOSPC)
}

// KeepError is what keeping the root file system of a workspace came to. Where there was no room, next is what to do.
func KeepError(err error, name, next string) error {
	if !noRoom(err) {
		return err
	}
	return &driver.Error{Class: driver.ErrNoSpace, Op: "keep root file system of workspace", Object: name, Err: err, Next: next}
}

// giveUp is what to do where a root file system can't be kept, and nobody gave it up.
func (r *run) giveUp(c *plan.Change) string {
	if r.plan.Destroy {
		return "make room, or give it up: microagent destroy --project " + r.plan.Project + " --allow-data-loss=" + c.Address.String()
	}
	return "make room, or give it up: microagent apply --allow-data-loss=" + c.Address.String()
}
