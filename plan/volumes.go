package plan

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"microagent/plan/observed"
	"microagent/schema"
	"microagent/schema/quantity"
	"microagent/schema/spec"
)

func (k *maker) volumes() {
	applied := k.appliedVolumes()
	for _, name := range slices.Sorted(maps.Keys(k.m.Volumes)) {
		v := k.m.Volumes[name]
		k.bind("volume", volumeOnDisk(k.m, name))
		if v.External {
			k.externalVolume(name, v)
		} else {
			k.volume(name, v, applied)
		}
	}
}

func (k *maker) externalVolume(name string, v schema.Volume) {
	have, ok := k.w.Volumes[name]
	switch {
	case !ok:
		k.fail(CodeVolumeMissing, v.Pos, fmt.Sprintf("make it: microagent volume create %s --size 1GiB", name),
			"external volume %s does not exist", name)
		return
	case have.NoRecord:
		k.unrecorded(name, v)
		return
	case k.broken(name, name, v, have):
		return
	}
	k.add(Change{Address: Address{KindVolume, name}, Action: ActionNone, Detail: "external: used, never changed", Pos: v.Pos})
}

func (k *maker) volume(name string, v schema.Volume, applied map[string]bool) {
	disk := OnDisk(k.m.Project, name)
	c := Change{
		Address: Address{KindVolume, name}, Action: ActionNone, Pos: v.Pos,
	}
	have, ok := k.w.Volumes[disk]
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
		if applied[disk] {
			c.Reason = ReasonDrifted
			c.Detail = "it was there at the last apply and is gone"
			c.Warning = "what was in it is not there any more: the new volume is empty"
		}
	case have.NoRecord:
		k.unrecorded(disk, v)
		return
	case have.Project != k.m.Project:
		k.foreign(KindVolume, disk, have.Project, v.Pos,
			fmt.Sprintf("take it over with: microagent volume adopt %s --project %s, or choose another name", disk, k.m.Project))
		return
	case k.broken(name, disk, v, have):
		return
	default:
		k.changeVolume(&c, v, have)
	}
	k.add(c)
}

// broken refuses a volume whose image is not the one that its record is of: what was in it may be elsewhere, and nothing
// is made in its place unless somebody says so.
func (k *maker) broken(name, disk string, v schema.Volume, have observed.Volume) bool {
	switch {
	case have.Missing:
		k.fail(CodeVolumeDrifted, v.Pos, "put the image back, or give it up for an empty one: microagent volume delete "+disk,
			"volume %s has drifted: its image is gone", name)
	case have.Changed != "":
		k.fail(CodeVolumeDrifted, v.Pos, "put its image back, or take it as it is: microagent volume adopt "+disk+project(have.Project),
			"volume %s has drifted: %s", name, have.Changed)
	default:
		return false
	}
	return true
}

func project(name string) string {
	if name == "" {
		return ""
	}
	return " --project " + name
}

func (k *maker) changeVolume(c *Change, v schema.Volume, have observed.Volume) {
	was := quantity.Size(have.Size)
	if v.Size < was {
		k.fail(CodeVolumeShrinks, v.Pos,
			fmt.Sprintf("write size: %s, or declare a second volume and copy what you need", was.Text()),
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
			Path: "protected", Before: strconv.FormatBool(have.Protected), After: strconv.FormatBool(c.Volume.Protected),
		})
	}
	if v.Size > was {
		c.Action, c.Reason = ActionGrow, ReasonFieldChanged
		c.Detail = "its files stay"
		c.Fields = append(c.Fields, FieldChange{Path: "size", Before: was.String(), After: v.Size.String()})
	}
}

func (k *maker) unrecorded(disk string, v schema.Volume) {
	k.fail(CodeUnrecorded, v.Pos,
		fmt.Sprintf("take it over with: microagent volume adopt %s --project %s, or delete it by name", disk, k.m.Project),
		"there is a disk at the name of volume %s, and no record of it", disk)
}

// appliedVolumes are the volumes, by name on disk, that workspaces of the project were applied with.
func (k *maker) appliedVolumes() map[string]bool {
	applied := map[string]bool{}
	for _, ws := range k.w.Workspaces {
		if ws.Spec.Project != k.m.Project {
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
func (k *maker) keepVolume(disk string, reason Reason) {
	v := k.w.Volumes[disk]
	address := Address{KindVolume, inManifest(k.plan.Project, disk)}
	if k.at[address] != nil { // an external volume is declared with this name
		address.Name = disk
	}
	k.add(Change{
		Address: address, Action: ActionKeep, Reason: reason,
		Detail: fmt.Sprintf("its %s of data stay; only this deletes it: microagent volume delete %s", quantity.Size(v.Size), disk),
		Volume: &VolumeObject{Name: disk, Size: v.Size, Protected: v.Protected},
	})
}
