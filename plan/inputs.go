package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"microagent/schema"
	"microagent/schema/diag"
)

func (p *planner) planBundles() {
	for _, name := range slices.Sorted(maps.Keys(p.manifest.Bundles)) {
		if p.made[name] == "" {
			p.look(KindBundle, name, func() { p.planBundle(name, p.manifest.Bundles[name]) })
		}
	}
}

// planMade is for a bundle that is made of an output, once that is planned. While it comes in this plan, what the bundle
// will hold is not known.
func (p *planner) planMade(name string) {
	b := p.manifest.Bundles[name]
	from := p.at[Address{KindOutput, p.made[name]}]
	src := p.world.Sources[name]
	if from == nil || !from.Does() || src.Refused {
		p.planBundle(name, b)
		return
	}
	disk := OnDisk(p.manifest.Project, name)
	p.bind("bundle", disk)
	have, recorded := p.world.Bundles[disk]
	if recorded && have.Project != p.manifest.Project {
		p.refuseForeign(KindBundle, disk, have.Project, b.Pos, "choose another name for the project or the bundle")
		return
	}
	c := p.add(Change{
		Address: Address{KindBundle, name}, Action: ActionBuild, Reason: ReasonDependency, Pos: b.Pos,
		Detail: "of " + from.Address.String() + " in " + b.Source,
		Bundle: &BundleObject{Name: disk, Source: b.Source, Exclude: slices.Clone(b.Exclude), Output: from.Address.Name},
	})
	p.pending[name] = true
	p.addEdge(c, from.Address)
	p.addEdge(c, Address{KindTask, p.manifest.Outputs[from.Address.Name].From}) // an output comes also when its task failed
	if stands := recorded && have.Digest == src.Digest && src.Built && have.Source == b.Source && src.Err == ""; stands && len(from.If) > 0 {
		c.Bundle.Was = have.Digest
		p.onlyIf(c, from.If)
	}
}

func (p *planner) planBundle(name string, b schema.Bundle) {
	disk := OnDisk(p.manifest.Project, name)
	p.bind("bundle", disk)
	src, ok := p.world.Sources[name]
	switch {
	case !ok:
		p.failNotObserved("source of bundle", name, b.Pos)
		return
	case src.Err != "":
		p.fail(safety(CodeSource, src.Refused), b.Pos, src.Next, "%s", withName("bundle", name, src.Err))
		return
	}
	c := Change{
		Address: Address{KindBundle, name}, Action: ActionNone, Pos: b.Pos,
		Bundle: &BundleObject{Name: disk, Source: b.Source, Exclude: slices.Clone(b.Exclude), Digest: src.Digest, Output: p.made[name]},
	}
	have, recorded := p.world.Bundles[disk]
	switch {
	case recorded && have.Project != p.manifest.Project:
		p.refuseForeign(KindBundle, disk, have.Project, b.Pos, "choose another name for the project or the bundle")
		return
	case !recorded:
		c.Action, c.Reason = ActionBuild, ReasonAbsent
		c.Detail = fmt.Sprintf("%s from %s", countEntries(src.Entries), b.Source)
	case have.Digest != src.Digest:
		c.Action, c.Reason = ActionBuild, ReasonDigestChanged
		c.Detail = "the files in " + b.Source + " changed"
		c.Fields = append(c.Fields, FieldChange{Path: "digest", Before: have.Digest, After: src.Digest})
	case !src.Built:
		c.Action, c.Reason, c.Detail = ActionBuild, ReasonDrifted, "its disk is not in the cache any more"
	case have.Source != b.Source:
		c.Action, c.Reason, c.Detail = ActionUpdate, ReasonFieldChanged, "the same files from another place"
	}
	if c.Action == ActionBuild && !src.Built && c.Bundle.Output == "" {
		c.Bundle.Bytes = src.Bytes
	}
	if recorded && have.Source != b.Source {
		c.Fields = append(c.Fields, FieldChange{Path: "source", Before: have.Source, After: b.Source})
		if c.Reason == ReasonDigestChanged {
			c.Reason, c.Detail = ReasonFieldChanged, "it is made from another source"
		}
	}
	p.add(c)
}

func countEntries(n int) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}

func (p *planner) planDisks() {
	for _, name := range slices.Sorted(maps.Keys(p.manifest.Disks)) {
		p.look(KindDisk, name, func() { p.planDisk(name, p.manifest.Disks[name]) })
	}
}

func (p *planner) planDisk(name string, d schema.Disk) {
	seen, ok := p.world.Disks[name]
	switch {
	case !ok:
		p.failNotObserved("disk", name, d.Pos)
	case seen.Err != "":
		p.fail(safety(CodeDisk, seen.Refused), d.Pos, seen.Next, "%s", withName("disk", name, seen.Err))
	default:
		p.add(Change{Address: Address{KindDisk, name}, Action: ActionNone, Detail: "yours: attached, never made or deleted", Pos: d.Pos})
	}
}

// imageUse is who names an image.
type imageUse struct {
	ref    string // as written, by the first workspace that does
	pos    diag.Pos
	needed bool
}

// planImages makes one change for each distinct reference, after the workspaces have said whether they need it.
func (p *planner) planImages() {
	uses := map[string]*imageUse{} // by normalised reference
	for _, name := range slices.Sorted(maps.Keys(p.manifest.Workspaces)) {
		ws := p.manifest.Workspaces[name]
		normalised, _ := imageOf(p.world, ws.Image)
		u, ok := uses[normalised]
		if !ok {
			u = &imageUse{ref: ws.Image, pos: ws.ImagePos}
			uses[normalised] = u
		}
		if s := p.state[name]; s != nil && s.change != nil && s.change.NeedsImage() {
			u.needed = true
		}
	}
	for _, normalised := range slices.Sorted(maps.Keys(uses)) {
		p.look(KindImage, normalised, func() { p.planImage(normalised, uses[normalised]) })
	}
}

func (p *planner) planImage(normalised string, u *imageUse) {
	img, ok := p.world.Images[u.ref]
	_, digest := imageOf(p.world, u.ref)
	c := Change{
		Address: Address{KindImage, normalised}, Action: ActionNone, Pos: u.pos,
		Image: &ImageObject{Ref: u.ref, Digest: digest, Size: img.Size},
	}
	switch {
	case !ok:
		p.failNotObserved("image", u.ref, u.pos)
		return
	case img.Err != "":
		p.fail(safety(CodeImage, img.Refused), u.pos, img.Next, "%s", withName("image", u.ref, img.Err))
		return
	case img.InStore && digest == img.Digest:
	case !u.needed:
		c.Detail = "not in the store, and nothing needs it now"
	default:
		c.Action, c.Reason = ActionPull, ReasonAbsent
		if img.Moved != "" {
			c.Reason, c.Detail = ReasonDigestChanged, "the tag stands for another image now"
		}
		if digest == "" {
			why := ""
			if img.Next != "" {
				why = ": " + img.Next
			}
			p.warn(CodeImage, u.pos, "", "what image %s stands for is known after the pull only%s", u.ref, why)
		}
	}
	p.add(c)
}

// NeedsImage says that apply has to read the image's config or make a root file system for c.
func (c *Change) NeedsImage() bool {
	if c.Address.Kind != KindWorkspace {
		return false
	}
	switch c.Action {
	case ActionCreate, ActionReplace, ActionRestart, ActionUpdate:
		return true
	case ActionStart, ActionStop:
		return len(c.Fields) > 0
	}
	return false
}

// withName makes sure that a sentence about an object names it.
func withName(kind, name, sentence string) string {
	if strings.Contains(sentence, kind+" "+name) {
		return sentence
	}
	return kind + " " + name + ": " + sentence
}

func (p *planner) failNotObserved(what, name string, pos diag.Pos) {
	p.fail(CodeNotObserved, pos, "", "%s %s was not looked at", what, name)
}

// refuseForeign refuses an object that this project does not own.
func (p *planner) refuseForeign(kind Kind, disk, owner string, pos diag.Pos, next string) {
	whose := "no project"
	if owner != "" {
		whose = "project " + owner
	}
	p.fail(CodeForeign, pos, next, "%s %s exists and belongs to %s: it is not touched", kind, disk, whose)
}
