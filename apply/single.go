package apply

import (
	"context"
	"errors"

	"microagent/apply/folder"
	"microagent/plan"
	"microagent/plan/observed"
	"microagent/runtime/driver"
	"microagent/runtime/event"
	"microagent/schema/spec"
)

// Single makes one workspace that no project owns and no manifest declares: what a user asked for by hand. It brings
// the image and the bundles in and creates the workspace, through the same operations as a plan; it starts nothing.
// In want the image is as written, and the source of a bundle mount is its path, opened through files as is a disk's.
// Volumes have to be there. Something of that name is ErrExists. oneShot makes it one for this process alone.
func Single(ctx context.Context, d driver.Set, files *folder.Folder, want observed.WorkspaceSpec, oneShot bool, p driver.Progress) (driver.Workspace, error) {
	if _, err := d.Workspaces.Get(ctx, want.Name); err == nil {
		return driver.Workspace{}, &driver.Error{Class: driver.ErrExists, Op: "create workspace", Object: want.Name,
			Next: driver.NextTaken(want.Name)}
	}
	release, err := d.Images.Use(ctx)
	if err != nil {
		return driver.Workspace{}, err
	}
	defer release()
	src := driver.ImageSource{Ref: want.Image, Files: files}
	img, err := d.Images.Find(ctx, src)
	if errors.Is(err, driver.ErrNotFound) || err == nil && img.From != "store" {
		img, err = d.Images.Pull(ctx, src, "", p)
	}
	if err != nil {
		return driver.Workspace{}, err
	}
	want.Image, want.ImageDigest = img.Ref, img.Digest
	for i := range want.Mounts {
		m := &want.Mounts[i]
		if m.Kind != spec.MountBundle {
			continue
		}
		_, digest, err := d.Disks.Bundle(ctx, driver.BundleSource{Files: files, Path: m.Source}, "", p)
		if err != nil {
			return driver.Workspace{}, err
		}
		m.Source = digest.Fingerprint.Digest
	}
	r := &run{drivers: d, plan: &plan.Plan{}, files: files, events: event.Discard, images: map[string]driver.Image{}}
	resolved, err := r.resolve(ctx, want, p)
	if err != nil {
		return driver.Workspace{}, err
	}
	resolved.OneShot = oneShot
	return d.Workspaces.Create(context.WithoutCancel(ctx), resolved, p)
}
