package plan

import (
	"maps"
	"slices"
	"strings"

	"microagent/plan/observed"
	"microagent/schema"
	"microagent/schema/diag"
	"microagent/schema/spec"
)

// moves are what the plan gives another name, in the order in which that was found.
type moves struct {
	// volumes and bundles are the names on disk that they still have, by those that they get.
	volumes, bundles map[string]string
	renames          []*rename
	projects         []string // that become this one
}

// rename is a workspace that gets another name.
type rename struct {
	from, to string // on disk
	ran      bool   // it runs, and is stopped for that
	mounts   []spec.Mount
	pos      diag.Pos
}

// planMoves has the rest of the plan see the world in which everything has its new name already, and in which what has to be
// stopped for that is.
func (p *planner) planMoves() {
	p.moves = moves{volumes: map[string]string{}, bundles: map[string]string{}}
	if len(p.manifest.Moved) == 0 {
		return
	}
	world := *p.world
	world.Volumes, world.Workspaces, world.Bundles = maps.Clone(world.Volumes), maps.Clone(world.Workspaces), maps.Clone(world.Bundles)
	p.world = &world
	projects := p.manifest.NamesNow("project")
	for _, m := range p.manifest.Moved {
		if kind, from := m.Of(); kind == "project" && projects[from] == p.plan.Project && from != p.plan.Project {
			p.moveProject(from, m.Pos)
		}
	}
	for _, kind := range []string{"workspace", "volume"} { // a workspace first: it gives up what it holds
		now := p.manifest.NamesNow(kind)
		for _, m := range p.manifest.Moved {
			if of, name := m.Of(); of == kind {
				p.move(kind, OnDisk(p.plan.Project, name), OnDisk(p.plan.Project, now[name]), p.plan.Project, m.Pos)
			}
		}
	}
	p.addRenames()
}

// moveProject makes all that another project has this one's.
func (p *planner) moveProject(old string, pos diag.Pos) {
	p.bind("project", old)
	record, recorded := p.world.Projects[old]
	volumes, workspaces, bundles := p.objectsOf(old)
	if !recorded && len(volumes)+len(workspaces)+len(bundles) == 0 || p.refuseProject(old, record, pos) {
		return
	}
	p.moves.projects = append(p.moves.projects, old)
	outputs := maps.Clone(record.Outputs)
	maps.Copy(outputs, p.world.Project.Outputs)
	if outputs != nil {
		p.world.Project.Outputs = outputs
	}
	now := func(disk string) string { return OnDisk(p.plan.Project, inManifest(old, disk)) }
	for _, disk := range workspaces {
		p.move("workspace", disk, now(disk), old, pos)
	}
	for _, disk := range volumes {
		p.move("volume", disk, now(disk), old, pos)
	}
	for _, disk := range bundles {
		b := p.world.Bundles[disk]
		delete(p.world.Bundles, disk)
		p.bind("bundle", disk)
		b.Project = p.plan.Project
		if _, both := p.world.Bundles[now(disk)]; !both {
			p.world.Bundles[now(disk)] = b
		}
		p.moves.bundles[now(disk)] = disk
	}
}

// objectsOf are what a project has, by name on disk.
func (p *planner) objectsOf(project string) (volumes, workspaces, bundles []string) {
	for disk, v := range p.world.Volumes {
		if v.Project == project && !v.NoRecord {
			volumes = append(volumes, disk)
		}
	}
	for disk, ws := range p.world.Workspaces {
		if ws.Spec.Project == project {
			workspaces = append(workspaces, disk)
		}
	}
	for disk, b := range p.world.Bundles {
		if b.Project == project {
			bundles = append(bundles, disk)
		}
	}
	slices.Sort(volumes)
	slices.Sort(workspaces)
	slices.Sort(bundles)
	return volumes, workspaces, bundles
}

// move gives one object of a project, which may be another, its new name, unless that is refused.
func (p *planner) move(kind, from, to, owner string, pos diag.Pos) {
	p.bind(kind, from)
	if kind == "workspace" {
		ws, there := p.world.Workspaces[from]
		if there && ws.Spec.Project == owner && !p.refuseRename(from, to, ws, pos) {
			p.moveWorkspace(from, to, ws, pos)
		}
		return
	}
	v, there := p.world.Volumes[from]
	if !there || !v.NoRecord && v.Project != owner || p.refuseMove(from, to, v, pos) {
		return
	}
	delete(p.world.Volumes, from)
	v.Project = p.plan.Project
	p.world.Volumes[to] = v
	at := from
	if earlier, moved := p.moves.volumes[from]; moved {
		at = earlier
		delete(p.moves.volumes, from)
	}
	p.moves.volumes[to] = at
}

func (p *planner) moveWorkspace(from, to string, ws observed.Workspace, pos diag.Pos) {
	i := slices.IndexFunc(p.moves.renames, func(r *rename) bool { return r.to == from })
	if i < 0 {
		p.moves.renames = append(p.moves.renames, &rename{from: from, to: to, ran: ws.Running, mounts: ws.Spec.Mounts, pos: pos})
	} else {
		p.moves.renames[i].to = to
	}
	delete(p.world.Workspaces, from)
	for disk, v := range p.world.Volumes {
		if v.Holder == from {
			if v.Holder = to; ws.Running {
				v.Holder, v.HolderReadOnly = "", false
			}
			p.world.Volumes[disk] = v
		}
	}
	if ws.Running {
		run := *ws.Run
		run.Phase, run.Stopped = spec.PhaseFinished, true
		ws.Running, ws.Starting, ws.BacksOff, ws.NotReady, ws.Run = false, false, false, "", &run
	}
	ws.Spec.Name, ws.Spec.Project = to, p.plan.Project
	p.world.Workspaces[to] = ws
}

// addRenames adds the changes of workspaces' names, which come before all else that is done to these.
func (p *planner) addRenames() {
	for _, r := range p.moves.renames {
		c := Change{
			Address: Address{KindRename, inManifest(p.plan.Project, r.to)}, Action: ActionMove, Reason: ReasonRequested, Pos: r.pos,
			Detail: "was " + p.before(KindWorkspace, r.from) + "; its files, jobs and outputs stay",
			Rename: &RenameObject{From: r.from, Name: r.to},
		}
		if r.ran {
			c.Danger, c.Warning = DangerDowntime, "a running guest is stopped, and started again if it is declared to run"
		}
		p.add(c)
	}
}

// renamed says that a workspace of the manifest gets that name by this plan.
func (p *planner) renamed(name string) bool { return p.at[Address{KindRename, name}] != nil }

// before says what an object was, as its user knows it.
func (p *planner) before(kind Kind, disk string) string {
	return Address{kind, inManifest(p.plan.Project, disk)}.String()
}

// ofOthers says that a name on disk is one of another project.
func (p *planner) ofOthers(disk string) bool { return !strings.HasPrefix(disk, p.plan.Project+".") }

// moveRest makes changes of the records that go with a project, once all else is planned.
func (p *planner) moveRest() {
	for _, disk := range slices.Sorted(maps.Keys(p.moves.bundles)) {
		c := p.at[Address{KindBundle, inManifest(p.plan.Project, disk)}]
		if c == nil {
			continue // refused
		}
		if c.Bundle == nil {
			c.Bundle = &BundleObject{Name: disk}
		}
		c.Bundle.From = p.moves.bundles[disk]
		c.Bundle.Was, c.If = "", nil
		if c.Action == ActionNone {
			c.Action, c.Reason, c.Detail = ActionMove, ReasonRequested, "was "+p.before(KindBundle, c.Bundle.From)
		}
	}
	if len(p.moves.projects) == 0 {
		return
	}
	address := Address{KindProject, p.plan.Project}
	c := p.at[address]
	if c == nil {
		c = p.add(Change{Address: address, Pos: p.manifest.Pos, Project: &ProjectObject{Manifest: p.options.ManifestPath}})
	}
	c.Action, c.Reason, c.Project.From = ActionMove, ReasonRequested, p.moves.projects
	c.Detail = "all that project " + strings.Join(p.moves.projects, " and ") + " has becomes its own, with its history"
	for _, other := range p.all {
		if from := other.from(); from != "" && p.ofOthers(from) {
			p.addEdge(c, other.Address)
		}
	}
}

// from is the name on disk that an object has which c moves, "" for none.
func (c *Change) from() string {
	switch {
	case c.Rename != nil:
		return c.Rename.From
	case c.Address.Kind == KindVolume && c.Volume != nil:
		return c.Volume.From
	case c.Address.Kind == KindBundle && c.Bundle != nil:
		return c.Bundle.From
	}
	return ""
}

// MovedFrom are the projects whose objects p makes its own, sorted.
func (p *Plan) MovedFrom() []string {
	found := map[string]bool{}
	for i := range p.Changes {
		c := &p.Changes[i]
		if c.Project != nil {
			for _, name := range c.Project.From {
				found[name] = true
			}
		}
		if project, _, ok := strings.Cut(c.from(), "."); ok && project != p.Project {
			found[project] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// awaitRenames lets what a workspace does wait for its name, and whatever takes what it holds as well.
func (p *planner) awaitRenames() {
	for _, r := range p.moves.renames {
		name := inManifest(p.plan.Project, r.to)
		address := Address{KindRename, name}
		for _, kind := range []Kind{KindWorkspace, KindTask} {
			if c := p.at[Address{kind, name}]; c != nil && c.Does() {
				p.addEdge(c, address)
			}
		}
		for _, o := range p.specOutputs(name) {
			if c := p.at[Address{KindOutput, o.Name}]; c != nil && c.Does() {
				p.addEdge(c, address)
			}
		}
		if r.ran {
			p.awaitRelease(r, address)
		}
	}
}

// awaitRelease lets whatever takes what a workspace holds, which is stopped for its name, wait for that.
func (p *planner) awaitRelease(r *rename, address Address) {
	held := map[string]bool{}
	for i := range r.mounts {
		if id := target(&r.mounts[i]); id != "" {
			held[id] = true
		}
	}
	for _, c := range p.all {
		if c.Address.Kind == KindVolume && c.Volume != nil && c.Does() && (held["volume "+c.Volume.Name] || held["volume "+c.Volume.From]) {
			p.addEdge(c, address)
		}
	}
	for _, s := range p.state {
		c := s.starter()
		for i := range s.want.Mounts {
			m := s.want.Mounts[i]
			if from := p.moves.volumes[m.Name]; m.Kind == spec.MountVolume && from != "" {
				m.Name = from
			}
			if c != nil && held[target(&m)] {
				p.addEdge(c, address)
			}
		}
	}
}

// Formerly are the names on disk that a workspace or volume of m may have: the one that it is to have, and those that it had.
func Formerly(m *schema.Manifest, kind Kind, name string) []string {
	list := []string{OnDisk(m.Project, name)}
	if kind == KindVolume && m.Volumes[name].External {
		return []string{name}
	}
	for _, project := range append([]string{m.Project}, m.NamesBefore("project", m.Project)...) {
		for _, one := range append([]string{name}, m.NamesBefore(string(kind), name)...) {
			if disk := OnDisk(project, one); !slices.Contains(list, disk) {
				list = append(list, disk)
			}
		}
	}
	return list
}
