package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"microagent/schema"
	"microagent/schema/diag"
)

func (k *maker) bundles() {
	for _, name := range slices.Sorted(maps.Keys(k.m.Bundles)) {
		k.bundle(name, k.m.Bundles[name])
	}
}

func (k *maker) bundle(name string, b schema.Bundle) {
	disk := OnDisk(k.m.Project, name)
	k.bind("bundle", disk)
	src, ok := k.w.Sources[name]
	switch {
	case !ok:
		k.notObserved("source of bundle", name, b.Pos)
		return
	case src.Err != "":
		k.fail(safety(CodeSource, src.Refused), b.Pos, src.Next, "%s", about("bundle", name, src.Err))
		return
	}
	c := Change{
		Address: Address{KindBundle, name}, Action: ActionNone, Pos: b.Pos,
		Bundle: &BundleObject{Name: disk, Source: b.Source, Exclude: slices.Clone(b.Exclude), Digest: src.Digest},
	}
	have, recorded := k.w.Bundles[disk]
	switch {
	case recorded && have.Project != k.m.Project:
		k.foreign(KindBundle, disk, have.Project, b.Pos, "choose another name for the project or the bundle")
		return
	case !recorded:
		c.Action, c.Reason = ActionBuild, ReasonAbsent
		c.Detail = fmt.Sprintf("%s from %s", entries(src.Entries), b.Source)
	case have.Digest != src.Digest:
		c.Action, c.Reason = ActionBuild, ReasonDigestChanged
		c.Detail = "the files in " + b.Source + " changed"
		c.Fields = append(c.Fields, FieldChange{Path: "digest", Before: have.Digest, After: src.Digest})
	case !src.Built:
		c.Action, c.Reason, c.Detail = ActionBuild, ReasonDrifted, "its disk is not in the cache any more"
	case have.Source != b.Source:
		c.Action, c.Reason, c.Detail = ActionUpdate, ReasonFieldChanged, "the same files from another place"
	}
	if recorded && have.Source != b.Source {
		c.Fields = append(c.Fields, FieldChange{Path: "source", Before: have.Source, After: b.Source})
		if c.Reason == ReasonDigestChanged {
			c.Reason, c.Detail = ReasonFieldChanged, "it is made from another source"
		}
	}
	k.add(c)
}

func entries(n int) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}

func (k *maker) disks() {
	for _, name := range slices.Sorted(maps.Keys(k.m.Disks)) {
		d := k.m.Disks[name]
		seen, ok := k.w.Disks[name]
		switch {
		case !ok:
			k.notObserved("disk", name, d.Pos)
		case seen.Err != "":
			k.fail(safety(CodeDisk, seen.Refused), d.Pos, seen.Next, "%s", about("disk", name, seen.Err))
		default:
			k.add(Change{Address: Address{KindDisk, name}, Action: ActionNone, Detail: "yours: attached, never made or deleted", Pos: d.Pos})
		}
	}
}

// images makes one change for each distinct reference, after the workspaces have said whether they need it.
func (k *maker) images() {
	type use struct {
		ref    string // as written, by the first workspace that does
		pos    diag.Pos
		needed bool
	}
	uses := map[string]*use{} // by normalised reference
	for _, name := range slices.Sorted(maps.Keys(k.m.Workspaces)) {
		ws := k.m.Workspaces[name]
		normalised, _ := imageOf(k.w, ws.Image)
		u, ok := uses[normalised]
		if !ok {
			u = &use{ref: ws.Image, pos: ws.ImagePos}
			uses[normalised] = u
		}
		if s := k.state[name]; s != nil && s.change != nil && needsImage(s.change) {
			u.needed = true
		}
	}
	for _, normalised := range slices.Sorted(maps.Keys(uses)) {
		u := uses[normalised]
		img, ok := k.w.Images[u.ref]
		_, digest := imageOf(k.w, u.ref)
		inStore := img.InStore && digest == img.Digest
		c := Change{
			Address: Address{KindImage, normalised}, Action: ActionNone, Pos: u.pos,
			Image: &ImageObject{Ref: u.ref, Digest: digest, Size: img.Size},
		}
		switch {
		case !ok:
			k.notObserved("image", u.ref, u.pos)
			continue
		case img.Err != "":
			k.fail(safety(CodeImage, img.Refused), u.pos, img.Next, "%s", about("image", u.ref, img.Err))
			continue
		case inStore:
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
				k.warn(CodeImage, u.pos, "", "what image %s stands for is known after the pull only%s", u.ref, why)
			}
		}
		k.add(c)
	}
}

// needsImage says that apply has to read the image's config or make a root file system for c.
func needsImage(c *Change) bool {
	switch c.Action {
	case ActionCreate, ActionReplace, ActionRestart, ActionUpdate:
		return true
	case ActionStart, ActionStop:
		return len(c.Fields) > 0
	}
	return false
}

// about makes sure that a sentence about an object names it.
func about(kind, name, sentence string) string {
	if strings.Contains(sentence, kind+" "+name) {
		return sentence
	}
	return kind + " " + name + ": " + sentence
}

func (k *maker) notObserved(what, name string, pos diag.Pos) {
	k.fail(CodeNotObserved, pos, "", "%s %s was not looked at", what, name)
}

// foreign refuses an object that this project does not own.
func (k *maker) foreign(kind Kind, disk, owner string, pos diag.Pos, next string) {
	whose := "no project"
	if owner != "" {
		whose = "project " + owner
	}
	k.fail(CodeForeign, pos, next, "%s %s exists and belongs to %s: it is not touched", kind, disk, whose)
}
