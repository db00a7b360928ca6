package apply

import (
	"context"
	"errors"

	"microagent/plan"
	"microagent/runtime/driver"
)

func (r *run) applyProject(ctx context.Context, c *plan.Change) error {
	if c.Project == nil {
		return unknownOperation(c)
	}
	for _, from := range c.Project.From { // what they had is here by now
		if err := r.drivers.Projects.Move(ctx, from, r.plan.Project); err != nil {
			return err
		}
	}
	return r.recordProject(ctx, func(record *driver.Project) { record.Manifest = c.Project.Manifest })
}

// recordProject changes the project's record; changes of one walk at the same time come one after the other.
func (r *run) recordProject(ctx context.Context, change func(*driver.Project)) error {
	r.recording.Lock()
	defer r.recording.Unlock()
	record, err := r.drivers.Projects.Get(ctx, r.plan.Project)
	if err != nil && !errors.Is(err, driver.ErrNotFound) {
		return err
	}
	record.Name = r.plan.Project
	change(&record)
	return r.drivers.Projects.Put(ctx, record)
}

// forgetProject lets any manifest take the project up. What was brought to the host stays known, so that a later
// apply may replace it.
func (r *run) forgetProject(ctx context.Context) error {
	record, err := r.drivers.Projects.Get(ctx, r.plan.Project)
	switch {
	case errors.Is(err, driver.ErrNotFound):
		return nil
	case err != nil:
		return err
	case len(record.Outputs) == 0:
		return r.drivers.Projects.Delete(ctx, r.plan.Project)
	}
	return r.recordProject(ctx, func(record *driver.Project) { record.Manifest = "" })
}
