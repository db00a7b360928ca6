package plan

import (
	"maps"
	"slices"

	"microagent/plan/observed"
	"microagent/schema"
	"microagent/schema/spec"
)

// planMoves has the rest of the plan see the world in which everything has its new name already.
func (p *planner) planMoves() {
	p.movedFrom = map[string]string{}
	if len(p.manifest.Moved) == 0 {
		return
	}
	world := *p.world
	world.Volumes = maps.Clone(world.Volumes)
	p.world = &world
	for _, m := range p.manifest.Moved {
		from, to := OnDisk(p.plan.Project, m.Volume), OnDisk(p.plan.Project, declaredAs(p.manifest.Moved, m.To))
		p.bind("volume", from)
		have, there := world.Volumes[from]
		if !there || !have.NoRecord && have.Project != p.plan.Project || p.refuseMove(m, from, to, have) {
			continue
		}
		delete(world.Volumes, from)
		world.Volumes[to] = have
		p.movedFrom[to] = from
	}
}

// declaredAs is the name that name has now: it may have moved more than once.
func declaredAs(moved []schema.Moved, name string) string {
	for range moved { // the loader refuses a circle
		i := slices.IndexFunc(moved, func(m schema.Moved) bool { return m.Volume == name })
		if i < 0 {
			break
		}
		name = moved[i].To
	}
	return name
}

// refuseMove refuses a move that would hide or take something.
func (p *planner) refuseMove(m schema.Moved, from, to string, have observed.Volume) bool {
	_, both := p.world.Volumes[to]
	holder, held := p.world.Workspaces[have.Holder]
	user := p.usedByOthers(from)
	if held && holder.Spec.Project != p.plan.Project {
		user = have.Holder
	}
	switch {
	case have.Broken.Why != "":
		p.refuseBroken("volume "+from, have.Broken, "make it a new record: microagent volume adopt "+from+" --project "+p.plan.Project, m.Pos)
	case have.NoRecord:
		p.fail(CodeUnrecorded, m.Pos, "take it over: microagent volume adopt "+from+" --project "+p.plan.Project,
			"there is a disk at the name of volume %s, and no record of it", from)
	case both:
		p.fail(CodeBothThere, m.Pos, "look which of the two has what you need, and leave the entry of moved out or delete the other one: microagent volume list",
			"volume %s is to become %s, and there is a volume %s already", m.Volume, m.To, to)
	case have.Missing || have.Changed != "":
		return p.refuseDrifted(m.Volume, from, schema.Volume{Pos: m.Pos}, have)
	case user != "":
		p.fail(CodeHeld, m.Pos, "look at it: microagent status "+user,
			"volume %s is to become %s, and workspace %s, which is no part of the project, mounts it by its name", m.Volume, m.To, user)
	case held && holder.Running && holder.Spec.Mode == spec.ModeTask:
		p.fail(CodeHeld, m.Pos, "wait for it: microagent wait "+have.Holder,
			"volume %s is to become %s, and the task of workspace %s writes it now", m.Volume, m.To, have.Holder)
	case have.Holder != "" && !held:
		p.fail(CodeHeld, m.Pos, "wait until it is given up, or end what holds it", "volume %s is held by %s", m.Volume, have.Holder)
	default:
		return false
	}
	return true
}

// usedByOthers is a workspace outside of the project that mounts a volume, "" for none.
func (p *planner) usedByOthers(disk string) string {
	for _, name := range slices.Sorted(maps.Keys(p.world.Workspaces)) {
		ws := p.world.Workspaces[name]
		if ws.Spec.Project != p.plan.Project && slices.ContainsFunc(ws.Spec.Mounts, func(m spec.Mount) bool { return m.Kind == spec.MountVolume && m.Name == disk }) {
			return name
		}
	}
	return ""
}

// proposeMoves warns of each volume that would be new and empty where one that is like it is declared no more.
func (p *planner) proposeMoves() {
	vanished := p.vanished()
	if len(vanished) == 0 {
		return
	}
	like := p.mountedInItsPlace(vanished)
	p.onlyOnesOfTheirSize(vanished, like)
	for _, name := range slices.Sorted(maps.Keys(like)) {
		c := p.at[Address{KindVolume, name}]
		if c == nil || c.Action != ActionCreate {
			continue
		}
		p.warn(CodeRenamed, c.Pos, "if it is that one under another name, write: moved: [{volume: "+like[name]+", to: "+name+"}]",
			"volume %s would be new and empty, and volume %s, which has data, is declared no more", name, like[name])
	}
}

// vanished are the project's volumes that the manifest does not have any more, by name in it, with their sizes.
func (p *planner) vanished() map[string]int64 {
	list := map[string]int64{}
	for disk, v := range p.world.Volumes {
		name := inManifest(p.plan.Project, disk)
		if _, declared := p.manifest.Volumes[name]; !declared && v.Project == p.plan.Project && v.Project != "" && !v.NoRecord && !v.Missing && v.Broken.Why == "" {
			list[name] = v.Size
		}
	}
	for _, m := range p.manifest.Moved {
		delete(list, m.Volume)
	}
	return list
}

// mountedInItsPlace are the vanished volumes, each by the declared one that a workspace is to have where it has that.
func (p *planner) mountedInItsPlace(vanished map[string]int64) map[string]string {
	like := map[string]string{}
	for _, in := range slices.Sorted(maps.Keys(p.manifest.Workspaces)) {
		for _, m := range p.world.Workspaces[OnDisk(p.plan.Project, in)].Spec.Mounts {
			now := p.manifest.Workspaces[in].Mounts[m.Path].Volume
			old := inManifest(p.plan.Project, m.Name)
			if _, gone := vanished[old]; gone && m.Kind == spec.MountVolume && now != "" && like[now] == "" {
				like[now] = old
			}
		}
	}
	return like
}

// onlyOnesOfTheirSize adds those that are like each other in size, where it is one that vanished and one that is new.
func (p *planner) onlyOnesOfTheirSize(vanished map[string]int64, like map[string]string) {
	bySize := func(count map[int64][]string, name string, size int64) { count[size] = append(count[size], name) }
	gone, fresh := map[int64][]string{}, map[int64][]string{}
	for name, size := range vanished {
		bySize(gone, name, size)
	}
	for name, v := range p.manifest.Volumes {
		if c := p.at[Address{KindVolume, name}]; c != nil && c.Action == ActionCreate {
			bySize(fresh, name, int64(v.Size))
		}
	}
	for size, names := range fresh {
		if len(names) == 1 && len(gone[size]) == 1 && like[names[0]] == "" {
			like[names[0]] = gone[size][0]
		}
	}
}
