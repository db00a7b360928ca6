package apply

import (
	"context"

	"microagent/plan"
	"microagent/runtime/driver"
)

func (r *run) project(ctx context.Context, c *plan.Change) error {
	if c.Project == nil {
		return unknown(c)
	}
	return r.drivers.Projects.Put(ctx, driver.Project{Name: c.Address.Name, Manifest: c.Project.Manifest})
}
