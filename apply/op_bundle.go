package apply

import (
	"context"

	"microagent/plan"
	"microagent/runtime/driver"
)

func (r *run) applyBundle(ctx context.Context, c *plan.Change, p driver.Progress) error {
	switch {
	case c.Action == plan.ActionDelete:
		return r.drivers.Projects.DeleteBundle(ctx, plan.OnDisk(r.plan.Project, c.Address.Name))
	case c.Bundle == nil:
		return unknownOperation(c)
	}
	src := driver.BundleSource{Files: r.files, Path: c.Bundle.Source, Exclude: c.Bundle.Exclude}
	want := c.Bundle.Digest
	if want == "" { // of what this apply made: read it once
		made, err := r.drivers.Disks.DraftBundle(ctx, src, nil)
		if err != nil {
			return err
		}
		want = made.Fingerprint.Digest
	}
	disk, digest, err := r.drivers.Disks.Bundle(ctx, src, want, p)
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.digests[c.Address.Name] = digest.Fingerprint.Digest
	r.mu.Unlock()
	return r.drivers.Projects.PutBundle(context.WithoutCancel(ctx), driver.BundleRecord{
		Name: c.Bundle.Name, Project: r.plan.Project, Source: c.Bundle.Source, Exclude: c.Bundle.Exclude,
		Fingerprint: digest.Fingerprint, Key: disk.Key,
	})
}
