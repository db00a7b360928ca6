package apply

import (
	"context"
	"slices"

	"microagent/apply/folder"
	"microagent/plan"
	"microagent/runtime/driver"
)

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
