package apply

import (
	"context"
	"errors"
	"slices"

	"microagent/apply/folder"
	"microagent/plan"
	"microagent/runtime/driver"
)

// goneImages says, in a sentence each, which images p counts on that are in the store no more: a prune may have come between.
func goneImages(ctx context.Context, d driver.Set, p *plan.Plan) []string {
	comes := map[string]bool{}
	for i := range p.Changes {
		if c := &p.Changes[i]; c.Action == plan.ActionPull && c.Image != nil {
			comes[c.Image.Digest] = true
		}
	}
	var gone []string
	for i := range p.Changes {
		c := &p.Changes[i]
		if !c.NeedsImage() || c.Workspace == nil || c.Workspace.ImageDigest == "" || comes[c.Workspace.ImageDigest] {
			continue
		}
		comes[c.Workspace.ImageDigest] = true
		if _, err := d.Images.Get(ctx, c.Workspace.ImageDigest); errors.Is(err, driver.ErrNotFound) {
			gone = append(gone, c.Workspace.Image+" is gone from the store")
		}
	}
	return gone
}

// movedInputs says, in a sentence each, which files that p would read or replace are not what they were when it was
// made. What can't be looked at is left to its change, which says why.
func movedInputs(ctx context.Context, d driver.Set, p *plan.Plan, files *folder.Folder) []string {
	var moved []string
	for i := range p.Changes {
		c := &p.Changes[i]
		switch {
		case c.Action == plan.ActionBuild && c.Bundle != nil && c.Bundle.Digest != "":
			src := driver.BundleSource{Files: files, Path: c.Bundle.Source, Exclude: c.Bundle.Exclude}
			if now, err := d.Disks.DraftBundle(ctx, src, nil); err == nil && now.Fingerprint.Digest != c.Bundle.Digest {
				moved = append(moved, c.Bundle.Source+" changed")
			}
		case c.Action == plan.ActionPull && c.Image != nil && c.Image.Digest != "":
			now, err := d.Images.Find(ctx, driver.ImageSource{Ref: c.Image.Ref, Files: files})
			if err == nil && now.From == "file" && now.Digest != c.Image.Digest {
				moved = append(moved, c.Image.Ref+" changed")
			}
		case c.Action == plan.ActionCollect && c.Output != nil && !c.Output.Overwrite:
			target, err := files.Target(c.Output.To)
			if err != nil {
				continue
			}
			if now, err := d.Outputs.Digest(ctx, target); err == nil && !slices.Contains(c.Output.Ours, now) {
				moved = append(moved, c.Output.To+" changed")
			}
		}
	}
	return moved
}
