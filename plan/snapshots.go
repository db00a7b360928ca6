package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"microagent/plan/observed"
	"microagent/schema"
	"microagent/schema/quantity"
	"microagent/schema/spec"
)

// fillVolume says what a new volume begins with.
func (p *planner) fillVolume(c *Change, name string, v schema.Volume) {
	switch {
	case v.From.Volume != "":
		source := volumeOnDisk(p.manifest, v.From.Volume)
		have := p.world.Volumes[source]
		if have.Size > int64(v.Size) {
			p.fail(CodeVolumeShrinks, v.From.Pos, "write size: "+quantity.Size(have.Size).Text(),
				"volume %s of %s begins with volume %s, which has %s", name, v.Size, v.From.Volume, quantity.Size(have.Size))
		}
		c.Volume.Source = source
		c.Detail += ", with what volume " + v.From.Volume + " has"
	case v.From.Snapshot != "":
		of, tag, _ := strings.Cut(v.From.Snapshot, ":")
		c.Volume.Source = volumeOnDisk(p.manifest, of) + ":" + tag
		c.Detail += ", with what snapshot " + v.From.Snapshot + " has"
		p.checkSnapshot(name, v, of, tag)
	case v.From.Bundle != "":
		c.Volume.Bundle = p.world.Sources[v.From.Bundle].Digest
		c.Detail += ", with the files of bundle " + v.From.Bundle
	case v.From.Image != "":
		if seen, ok := p.world.VolumeImages[name]; !ok {
			p.failNotObserved("image of volume", name, v.From.Pos)
		} else if seen.Err != "" {
			p.fail(safety(CodeSource, seen.Refused), v.From.Pos, seen.Next, "%s", withName("image of volume", name, seen.Err))
		}
		c.Volume.Image = v.From.Image
		c.Detail += ", with what " + v.From.Image + " has"
	}
}

// checkSnapshot refuses a new volume that is to begin with a snapshot which is not there, or has no room in it.
func (p *planner) checkSnapshot(name string, v schema.Volume, of, tag string) {
	disk := volumeOnDisk(p.manifest, of)
	now := cmp.Or(p.moves.volumes[disk], disk)
	there := p.world.Snapshots[now]
	i := slices.IndexFunc(there, func(s observed.Snapshot) bool { return s.Tag == tag })
	if i < 0 {
		next := "write one that is there: " + tagsOf(of, there)
		if len(there) == 0 {
			next = "make it: microagent volume snapshot " + now + ":" + tag
			if _, ok := p.world.Volumes[disk]; !ok {
				next = "see which there are: microagent volume snapshots"
			}
		}
		p.fail(CodeNoSnapshot, v.From.Pos, next, "volume %s begins with snapshot %s, and there is none", name, v.From.Snapshot)
		return
	}
	if size := there[i].Size; size > int64(v.Size) {
		p.fail(CodeVolumeShrinks, v.From.Pos, "write size: "+quantity.Size(size).Text(),
			"volume %s of %s begins with snapshot %s, which has %s", name, v.Size, v.From.Snapshot, quantity.Size(size))
	}
}

// tagsOf lists the newest of a volume's snapshots.
func tagsOf(volume string, there []observed.Snapshot) string {
	const most = 5
	var list []string
	for _, s := range slices.Backward(there) {
		if len(list) == most {
			return strings.Join(list, ", ") + fmt.Sprintf(" and %d more", len(there)-most)
		}
		list = append(list, volume+":"+s.Tag)
	}
	return strings.Join(list, ", ")
}

// dependOnSources makes a new volume wait for the one that it begins with.
func (p *planner) dependOnSources() {
	for name, v := range p.manifest.Volumes {
		c := p.at[Address{KindVolume, name}]
		if c == nil || !c.Does() {
			continue
		}
		if v.From.Volume != "" {
			p.addEdge(c, Address{KindVolume, v.From.Volume})
		}
		if v.From.Bundle != "" {
			p.addEdge(c, Address{KindBundle, v.From.Bundle})
		}
		of, _, _ := strings.Cut(v.From.Snapshot, ":")
		if moves := (Address{KindVolume, of}); p.at[moves] != nil && p.at[moves].Action == ActionMove { // with its snapshots
			p.addEdge(c, moves)
		}
	}
}

// awaitCopies lets a new volume that begins with another wait until who writes to that one has given it up, and whoever begins
// to write to it wait for the copy. A guest that goes on holds it still meanwhile.
func (p *planner) awaitCopies(held map[string][]holding) {
	for _, name := range slices.Sorted(maps.Keys(p.manifest.Volumes)) {
		from := p.manifest.Volumes[name].From
		c := p.at[Address{KindVolume, name}]
		if from.Volume == "" || c == nil || c.Action != ActionCreate && c.Action != ActionReplace {
			continue
		}
		id := "volume " + c.Volume.Source
		for _, h := range held[id] {
			ws, known := p.world.Workspaces[h.workspace]
			end := Address{KindWorkspace, inManifest(p.plan.Project, h.workspace)}
			if known && ws.Running && p.releases(ws, id, holding{readOnly: true}) && !p.needs(p.at[end], c) {
				p.addLoose(c, end)
			}
		}
		for _, of := range p.uses {
			for _, mine := range of.list {
				taker := p.state[inManifest(p.plan.Project, mine.workspace)].taker()
				if of.id == id && !mine.readOnly && taker != nil && !p.needs(c, taker) {
					p.addLoose(taker, c.Address)
				}
			}
		}
	}
}

// planSnapshots gives the first change that a volume's snapshot is to come before that snapshot. What is made by this plan
// holds nothing yet.
func (p *planner) planSnapshots(ordered []*Change) {
	made := map[string]bool{}
	for _, c := range ordered {
		if c.Workspace == nil || !c.starts() {
			continue
		}
		for _, m := range c.Workspace.Mounts {
			if m.Kind != spec.MountVolume || m.ReadOnly || made[m.Name] {
				continue
			}
			name := inManifest(p.plan.Project, m.Name)
			s := p.manifest.Volumes[name].Snapshot
			if s == nil || s.Before == schema.BeforeReplace && c.Action != ActionReplace {
				continue
			}
			if v := p.at[Address{KindVolume, name}]; v != nil && (v.Action == ActionCreate || v.Action == ActionReplace) {
				continue
			}
			made[m.Name] = true
			c.Snapshots = append(c.Snapshots, SnapshotObject{Volume: m.Name, Keep: s.Keep})
			c.Detail += fmt.Sprintf("%s a snapshot of volume %s is made first", separator(c.Detail), name)
		}
	}
}

func separator(detail string) string {
	if detail == "" {
		return ""
	}
	return ";"
}

// starts says whether a change begins a run of its workspace, or makes its root file system anew.
func (c *Change) starts() bool {
	runs := c.Workspace.Desired != spec.DesiredStopped && c.Workspace.Mode != spec.ModeTask
	switch c.Action {
	case ActionReplace, ActionRun:
		return true
	case ActionCreate, ActionRestart, ActionStart:
		return runs
	}
	return false
}
