package apply

import (
	"context"
	"slices"

	"microagent/plan"
	"microagent/runtime/driver"
)

func (r *run) applyBundle(ctx context.Context, c *plan.Change, p driver.Progress) error {
	switch {
	case c.Action == plan.ActionDelete:
		if err := r.drivers.Projects.DeleteBundle(ctx, plan.OnDisk(r.plan.Project, c.Address.Name)); err != nil || c.Bundle == nil {
			return err
		}
		return r.drivers.Projects.DeleteBundle(ctx, c.Bundle.From)
	case c.Bundle == nil:
		return unknownOperation(c)
	case c.Action == plan.ActionMove:
		return r.moveBundle(ctx, c.Bundle)
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
	whole := context.WithoutCancel(ctx)
	err = r.drivers.Projects.PutBundle(whole, driver.BundleRecord{
		Name: c.Bundle.Name, Project: r.plan.Project, Source: c.Bundle.Source, Exclude: c.Bundle.Exclude,
		Fingerprint: digest.Fingerprint, Key: disk.Key,
	})
	if err != nil || c.Bundle.From == "" {
		return err
	}
	return r.drivers.Projects.DeleteBundle(whole, c.Bundle.From)
}

// moveBundle gives a bundle's record its new name. Where one is there already, the old one is of before.
func (r *run) moveBundle(ctx context.Context, b *plan.BundleObject) error {
	whole := context.WithoutCancel(ctx)
	list, err := r.drivers.Projects.Bundles(whole)
	if err != nil {
		return err
	}
	at := func(name string) int {
		return slices.IndexFunc(list, func(one driver.BundleRecord) bool { return one.Name == name })
	}
	if old := at(b.From); old >= 0 && at(b.Name) < 0 {
		moved := list[old]
		moved.Name, moved.Project = b.Name, r.plan.Project
		if err := r.drivers.Projects.PutBundle(whole, moved); err != nil {
			return err
		}
	}
	return r.drivers.Projects.DeleteBundle(whole, b.From)
}
