package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"microagent/plan/observed"
	"microagent/schema"
	"microagent/schema/diag"
	"microagent/schema/quantity"
	"microagent/schema/spec"
)

func (p *planner) planVolumes() {
	applied := p.appliedVolumes()
	for _, name := range slices.Sorted(maps.Keys(p.manifest.Volumes)) {
		v := p.manifest.Volumes[name]
		p.bind("volume", volumeOnDisk(p.manifest, name))
		p.look(KindVolume, name, func() {
			if v.External {
				p.planExternalVolume(name, v)
			} else {
				p.planVolume(name, v, applied)
			}
		})
	}
	p.proposeVolumes()
}

func (p *planner) planExternalVolume(name string, v schema.Volume) {
	have, ok := p.world.Volumes[name]
	switch {
	case !ok:
		p.fail(CodeVolumeMissing, v.Pos, fmt.Sprintf("make it: microagent volume create %s --size 1GiB", name),
			"external volume %s does not exist", name)
		return
	case have.NoRecord:
		p.refuseUnrecorded(name, v)
		return
	case p.refuseDrifted(name, name, v, have):
		return
	}
	p.add(Change{Address: Address{KindVolume, name}, Action: ActionNone, Detail: "external: used, never changed", Pos: v.Pos})
}

func (p *planner) planVolume(name string, v schema.Volume, applied map[string]bool) {
	disk := OnDisk(p.manifest.Project, name)
	c := Change{
		Address: Address{KindVolume, name}, Action: ActionNone, Pos: v.Pos,
	}
	have, ok := p.world.Volumes[disk]
	c.Volume = &VolumeObject{Name: disk, Size: int64(v.Size), Protected: have.Protected}
	if v.Protected != nil {
		c.Volume.Protected = *v.Protected
	}
	if have.NoRecord && have.Unborn && have.Size == int64(v.Size) {
		have, ok = observed.Volume{}, false // the create that was killed is done again
	}
	switch {
	case !ok:
		c.Action, c.Reason = ActionCreate, ReasonAbsent
		c.Detail = fmt.Sprintf("a new volume of %s", v.Size)
		p.fillVolume(&c, name, v)
		if applied[disk] {
			c.Reason = ReasonDrifted
			c.Detail = "it was there at the last apply and is gone"
			c.Warning = "what was in it is not there any more: the new volume is empty"
			if of := c.Volume.Source + c.Volume.Image + v.From.Bundle; of != "" {
				c.Warning = "what was in it is not there any more: the new volume has what " + of + " has"
			}
		}
	case have.Broken.Why != "":
		p.refuseBroken("volume "+disk, have.Broken, fmt.Sprintf("its data are untouched; make it a new record: microagent volume adopt %s --project %s", disk, p.manifest.Project), v.Pos)
		return
	case have.NoRecord:
		p.refuseUnrecorded(disk, v)
		return
	case have.Project != p.manifest.Project:
		p.refuseForeign(KindVolume, disk, have.Project, v.Pos,
			fmt.Sprintf("choose another name, or take it over with: microagent volume adopt %s --project %s", disk, p.manifest.Project))
		return
	case p.giveUpVolume(&c, disk, v, have):
	case p.refuseDrifted(name, disk, v, have):
		return
	default:
		p.changeVolume(&c, disk, v, have)
		p.moveVolume(&c, disk, have)
	}
	p.add(c)
}

// moveVolume makes c one that gives a volume its name, where it has another.
func (p *planner) moveVolume(c *Change, disk string, have observed.Volume) {
	from := p.moves.volumes[disk]
	if from == "" {
		return
	}
	c.Action, c.Reason, c.Volume.From, c.Volume.Holder = ActionMove, ReasonRequested, from, have.Holder
	c.Detail = "was " + p.before(KindVolume, from) + "; its data stay"
}

// refuseDrifted refuses a volume whose image is not the one that its record is of: what was in it may be elsewhere, and nothing
// is made in its place unless somebody says so.
func (p *planner) refuseDrifted(name, disk string, v schema.Volume, have observed.Volume) bool {
	switch {
	case have.Missing:
		p.fail(CodeVolumeDrifted, v.Pos, "put the image back, or give it up for an empty one: microagent volume delete "+disk,
			"volume %s has drifted: its image is gone", name)
	case have.Changed != "":
		p.fail(CodeVolumeDrifted, v.Pos, "put its image back, or take it as it is: microagent volume adopt "+disk+projectFlag(have.Project),
			"volume %s has drifted: %s", name, have.Changed)
	default:
		return false
	}
	return true
}

// refuseBroken refuses what has a record that can't be understood.
func (p *planner) refuseBroken(what string, b observed.Broken, next string, pos diag.Pos) {
	if b.Next != "" {
		next = b.Next
	}
	p.fail(CodeRecordForm, pos, next, "the record of %s can't be understood: %s", what, b.Why)
}

func projectFlag(name string) string {
	if name == "" {
		return ""
	}
	return " --project " + name
}

func (p *planner) changeVolume(c *Change, disk string, v schema.Volume, have observed.Volume) {
	was := quantity.Size(have.Size)
	switch {
	case v.Size >= was:
	case grownByHand(v, have): // which no apply asked for, and none takes back
		what := fmt.Sprintf("its record has %s, and its image %s", quantity.Size(have.Recorded), was)
		if have.Declared > 0 {
			what = fmt.Sprintf("it was applied with %s, and has grown to %s by hand", quantity.Size(have.Declared), was)
		}
		p.warn(CodeVolumeGrown, v.Pos, "to keep it that way, write size: "+was.Text(),
			"volume %s has drifted: %s; it stays as it is, since a volume never shrinks", c.Address.Name, what)
		c.Volume.Size = have.Size
	default:
		next := fmt.Sprintf("write size: %s, or declare a second volume and copy what you need", was.Text())
		if p.mayGiveUp(disk, have) {
			next += "; to have it anew and empty: microagent apply --allow-data-loss=" + c.Address.String()
		}
		p.fail(CodeVolumeShrinks, v.Pos, next,
			"volume %s would shrink from %s to %s, and a volume never shrinks", c.Address.Name, was, v.Size)
		c.Volume.Size = have.Size
	}
	if have.Protected != c.Volume.Protected {
		c.Action, c.Reason = ActionUpdate, ReasonFieldChanged
		c.Detail = "its protection against deletion is set"
		if have.Protected {
			c.Detail = "its protection against deletion is lifted"
		}
		c.Fields = append(c.Fields, FieldChange{
			Path: "protected", Before: strconv.FormatBool(have.Protected), After: strconv.FormatBool(c.Volume.Protected), Effect: observed.EffectCosmetic,
		})
	}
	if v.Size > was {
		c.Action, c.Reason = ActionGrow, ReasonFieldChanged
		c.Detail = "its files stay"
		c.Fields = append(c.Fields, FieldChange{Path: "size", Before: was.String(), After: v.Size.String(), Effect: observed.EffectLive})
	}
}

// grownByHand says that a volume is larger than applies made it and than what is declared.
func grownByHand(v schema.Volume, have observed.Volume) bool {
	applied := cmp.Or(have.Declared, have.Recorded)
	return applied > 0 && have.Size > applied && int64(v.Size) >= applied
}

func (p *planner) refuseUnrecorded(disk string, v schema.Volume) {
	p.fail(CodeUnrecorded, v.Pos,
		fmt.Sprintf("give the volume another name, or take it over with: microagent volume adopt %s --project %s", disk, p.manifest.Project),
		"there is a disk at the name of volume %s, and no record of it", disk)
}

// appliedVolumes are the volumes, by name on disk, that workspaces of the project were applied with.
func (p *planner) appliedVolumes() map[string]bool {
	applied := map[string]bool{}
	for _, ws := range p.world.Workspaces {
		if ws.Spec.Project != p.manifest.Project {
			continue
		}
		for _, m := range ws.Spec.Mounts {
			if m.Kind == spec.MountVolume && m.Source != "" {
				applied[m.Name] = true
			}
		}
	}
	return applied
}

// keepVolume tells of a volume of the project that is declared no more, or that outlives a destroy.
func (p *planner) keepVolume(disk string, reason Reason) {
	v := p.world.Volumes[disk]
	address := Address{KindVolume, inManifest(p.plan.Project, disk)}
	if p.at[address] != nil { // an external volume is declared with this name
		address.Name = disk
	}
	detail := fmt.Sprintf("its %s of data stay; only this deletes it: microagent volume delete %s", quantity.Size(v.Size), disk)
	if v.Protected {
		detail = fmt.Sprintf("its %s of data stay, protected; only this deletes it: microagent volume unprotect %s && microagent volume delete %s",
			quantity.Size(v.Size), disk, disk)
	}
	if v.Broken.Why != "" {
		detail = "its data stay, and its record can't be understood: " + v.Broken.Why
	}
	c := Change{
		Address: address, Action: ActionKeep, Reason: reason, Detail: detail,
		Volume: &VolumeObject{Name: disk, Size: v.Size, Protected: v.Protected},
	}
	p.moveVolume(&c, disk, v)
	p.add(c)
}
