package apply

import (
	"context"

	"microagent/plan"
	"microagent/runtime/driver"
)

// changeInPlace changes what a running guest has, before its record says so: a port may be taken, and what the guest uses
// stays. done names each part that was changed.
func (r *run) changeInPlace(ctx context.Context, c *plan.Change, want driver.WorkspaceSpec, done func(string)) error {
	runs, name := r.drivers.Runs, want.Name
	for _, part := range []struct {
		asked bool
		what  string
		do    func() error
	}{
		{c.Publish, "its ports published", func() error { return r.publish(ctx, name, want) }},
		{c.Permit, "its network changed", func() error { return runs.Permit(ctx, name, want.Network) }},
		{c.GrowRoot, "its disk grown", func() error { return runs.GrowRoot(ctx, name, want.DiskSize) }},
		{c.SetEnv, "its environment changed", func() error { return runs.SetEnv(ctx, name, want.Process.Env) }},
		{c.Resize, "its CPUs and memory changed", func() error { return runs.Resize(ctx, name, want.CPUs, want.Memory) }},
		{c.Mount, "its mounts changed", func() error { return runs.Mount(ctx, name, want.Mounts) }},
	} {
		if !part.asked {
			continue
		}
		if err := part.do(); err != nil {
			return err
		}
		done(part.what)
	}
	return nil
}

// publish publishes the ports that are wanted now, and says which numbers they have.
func (r *run) publish(ctx context.Context, name string, want driver.WorkspaceSpec) error {
	if err := r.drivers.Runs.Publish(ctx, name, want.Ports); err != nil {
		return err
	}
	now, err := r.drivers.Runs.Ports(ctx, name)
	r.sayPorts(name, now)
	return err
}
