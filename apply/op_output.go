package apply

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"microagent/plan"
	"microagent/runtime/driver"
	"microagent/runtime/event"
)

// missingOutputError says that a run left nothing where an output is declared.
type missingOutputError struct{ error }

func (r *run) collectOutput(ctx context.Context, c *plan.Change) error {
	if c.Action != plan.ActionCollect || c.Output == nil {
		return unknownOperation(c)
	}
	o := c.Output
	target, err := r.files.Target(o.To)
	if err != nil {
		return err
	}
	tree, fetched, err := r.drivers.Runs.OutputFile(ctx, o.Workspace, o.Name)
	if errors.Is(err, driver.ErrNotFound) {
		if o.Optional {
			return nil
		}
		why := fetched.Error
		if why == "" {
			why = "the run did not leave it"
		}
		reason := fmt.Errorf("%s in workspace %s: %s", o.Path, c.Output.Workspace, why)
		if fetched.Missing {
			reason = &missingOutputError{reason}
		}
		return &driver.Error{Class: driver.ErrNotFound, Op: "collect output", Object: o.Name,
			Err:  reason,
			Next: "mend the task, or what the output declares (path, limit, optional, unchanged); until then the task runs again each time"}
	}
	if err != nil {
		return err
	}
	defer tree.Close()
	there, err := r.drivers.Outputs.Digest(ctx, target)
	switch {
	case errors.Is(err, driver.ErrNotFound) || o.Overwrite:
	case err != nil:
		return err
	case there != fetched.Digest && there != fetched.WithGit && !slices.Contains(o.Ours, there):
		return &driver.Error{Class: driver.ErrRefused, Op: "collect output", Object: o.Name,
			Err:  fmt.Errorf("%s holds what no apply put there", o.To),
			Next: "move it away, or say --overwrite-outputs"}
	}
	got, err := r.drivers.Outputs.Publish(ctx, tree, target, driver.Publishing{Limit: o.Limit, Git: o.AllowGit})
	if err != nil {
		return err
	}
	r.events.Emit(event.Event{Type: event.TypeCollected, Time: time.Now(), Address: c.Address.String(),
		Collected: &event.Collected{From: o.Path, To: o.To, Files: fetched.Files, Bytes: fetched.Bytes, Digest: got.Digest}})
	fetched.LeftOut.Add(got.LeftOut)
	r.noteOutput(c.Address, fetched)
	return r.recordProject(context.WithoutCancel(ctx), func(record *driver.Project) {
		outputs := map[string]string{}
		maps.Copy(outputs, record.Outputs)
		outputs[r.files.Resolve(o.To)] = got.Whole()
		record.Outputs = outputs
	})
}

// noteOutput tells what is to be known of an output that came: what of it did not, and what the run did not touch.
func (r *run) noteOutput(of plan.Address, f driver.Fetched) {
	notes := f.Notes()
	if len(notes) == 0 {
		return
	}
	r.mu.Lock()
	if r.notable == nil {
		r.notable = map[plan.Address]driver.Fetched{}
	}
	r.notable[of] = f
	r.mu.Unlock()
	for _, note := range notes {
		r.events.Emit(event.Event{Type: event.TypeNote, Time: time.Now(), Address: of.String(), Message: note})
	}
}
