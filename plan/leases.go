package plan

import (
	"cmp"
	"maps"
	"slices"

	"microagent/plan/observed"
	"microagent/schema/diag"
	"microagent/schema/spec"
)

// holding is one user of a volume or disk.
type holding struct {
	workspace string // on disk
	readOnly  bool
	pos       diag.Pos
	name      string // of the mount, for people: "volume data"
}

func clashes(a, b holding) bool { return !a.readOnly || !b.readOnly }

// target identifies what a mount attaches, whatever name it goes by; "" for a bundle, which any number may read.
func target(m *spec.Mount) string {
	switch {
	case m.Kind == spec.MountVolume:
		return "volume " + m.Name
	case m.Kind == spec.MountDisk && m.DiskID != "":
		return "disk " + m.DiskID
	case m.Kind == spec.MountDisk:
		return "disk " + m.Source
	}
	return ""
}

// checkLeases lets whoever takes a volume or disk wait until it is given up.
func (p *planner) checkLeases() {
	held := p.holders()
	for _, of := range p.uses {
		for _, mine := range of.list {
			s := p.state[inManifest(p.plan.Project, mine.workspace)]
			if taker := s.taker(); taker != nil {
				p.look(KindWorkspace, s.name, func() { p.awaitHolders(taker, mine, of.id, held[of.id]) })
			}
		}
	}
	p.awaitReaders(held)
	p.awaitCopies(held)
}

// awaitReaders lets a volume that grows or moves wait until who has it has given it up, and refuses where that goes on, or
// waits for the volume itself. A guest that writes the volume makes it larger while it runs, and the move stops one holder.
func (p *planner) awaitReaders(held map[string][]holding) {
	for _, name := range slices.Sorted(maps.Keys(p.manifest.Volumes)) {
		c := p.at[Address{KindVolume, name}]
		if c == nil || c.Action != ActionGrow && c.Action != ActionMove {
			continue
		}
		p.look(KindVolume, name, func() { p.awaitReadersOf(c, held) })
	}
}

func (p *planner) awaitReadersOf(c *Change, held map[string][]holding) {
	id := "volume " + cmp.Or(c.Volume.From, c.Volume.Name)
	for _, h := range held[id] {
		ws, known := p.world.Workspaces[h.workspace]
		end := Address{KindWorkspace, inManifest(p.plan.Project, h.workspace)}
		switch {
		case known && !ws.Running, h.workspace == c.Volume.Holder:
		case known && p.releases(ws, id, holding{}) && !p.needs(p.at[end], c):
			p.addEdge(c, end)
		case known && !h.readOnly && c.Action == ActionGrow:
			if w := p.at[end]; w == nil || w.Danger == "" {
				c.Detail = "its files stay, and workspace " + h.workspace + " runs on"
			}
		case known:
			p.fail(CodeHeld, c.Pos, "stop it first: microagent halt "+h.workspace,
				"volume %s can't %s while workspace %s reads it", c.Address.Name, c.Action, h.workspace)
		default:
			p.fail(CodeHeld, c.Pos, "wait until it is given up, or end what holds it", "volume %s can't %s while %s has it", c.Address.Name, c.Action, h.workspace)
		}
	}
}

// holders are those who hold something now, by target, sorted by workspace.
func (p *planner) holders() map[string][]holding {
	held := map[string][]holding{}
	add := func(id string, h holding) {
		for _, known := range held[id] {
			if known.workspace == h.workspace {
				return
			}
		}
		held[id] = append(held[id], h)
	}
	for _, disk := range slices.Sorted(maps.Keys(p.world.Workspaces)) {
		ws := p.world.Workspaces[disk]
		if !ws.Running {
			continue
		}
		mounts := ws.Spec.Mounts
		if ws.Live != nil {
			mounts = ws.Live.Mounts
		}
		for i := range mounts {
			if id := target(&mounts[i]); id != "" {
				add(id, holding{workspace: disk, readOnly: mounts[i].ReadOnly})
			}
		}
	}
	for name := range p.manifest.Volumes {
		disk := volumeOnDisk(p.manifest, name)
		if v := p.world.Volumes[disk]; v.Holder != "" {
			add("volume "+disk, holding{workspace: v.Holder, readOnly: v.HolderReadOnly})
		}
	}
	for _, d := range p.world.Disks {
		if d.Holder != "" {
			add(target(&spec.Mount{Kind: spec.MountDisk, DiskID: d.ID, Source: d.Path}), holding{workspace: d.Holder})
		}
	}
	return held
}

// awaitHolders makes taker wait for each holder that this plan stops, and fails for each that goes on.
func (p *planner) awaitHolders(taker *Change, mine holding, id string, held []holding) {
	for _, h := range held {
		if h.workspace == mine.workspace || !clashes(h, mine) {
			continue
		}
		ws, known := p.world.Workspaces[h.workspace]
		switch {
		case known && !ws.Running:
			// what a dead supervisor left is ended by whoever needs it
		case known && p.at[Address{KindTurn, inManifest(p.plan.Project, h.workspace)}] != nil && ws.Spec.Project == p.plan.Project:
			p.addEdge(taker, Address{KindTurn, inManifest(p.plan.Project, h.workspace)})
		case known && p.endsBefore(taker, ws):
			p.addEdge(taker, Address{KindTask, inManifest(p.plan.Project, h.workspace)})
		case known && p.releases(ws, id, mine):
			p.addEdge(taker, Address{KindWorkspace, inManifest(p.plan.Project, h.workspace)})
		case known:
			p.fail(CodeHeld, mine.pos, "stop it first: microagent halt "+h.workspace,
				"%s is held by workspace %s, which goes on running", mine.name, h.workspace)
		default:
			p.fail(CodeHeld, mine.pos, "wait until it is given up, or end what holds it", "%s is held by %s", mine.name, h.workspace)
		}
	}
}

// endsBefore says that ws runs a task whose end taker waits for in any case, or has to.
func (p *planner) endsBefore(taker *Change, ws observed.Workspace) bool {
	name := inManifest(p.plan.Project, ws.Spec.Name)
	s := p.state[name]
	if s == nil || s.task == nil || s.task.Action != ActionWait || ws.Spec.Project != p.plan.Project {
		return false
	}
	return p.inTurns(name, taker.Address.Name)
}

// inTurns says that one of two starts only once the other's task has ended.
func (p *planner) inTurns(a, b string) bool { return p.order.Ended(a, b) || p.order.Ended(b, a) }

// releases says that the plan stops ws, which does not take id again afterwards in a way that clashes with mine.
func (p *planner) releases(ws observed.Workspace, id string, mine holding) bool {
	if ws.Spec.Project != p.plan.Project {
		return false
	}
	c := p.at[Address{KindWorkspace, inManifest(p.plan.Project, ws.Spec.Name)}]
	if c == nil {
		return false
	}
	switch c.Action {
	case ActionDelete, ActionStop:
		return true
	case ActionUpdate:
		return c.Mount && !mountsClashing(c.Workspace, id, mine)
	case ActionRestart, ActionReplace:
		if c.Workspace.Desired == spec.DesiredStopped || c.Workspace.Mode == spec.ModeTask && p.inTurns(c.Address.Name, inManifest(p.plan.Project, mine.workspace)) {
			return true
		}
		return !mountsClashing(c.Workspace, id, mine)
	}
	return false
}

func mountsClashing(w *observed.WorkspaceSpec, id string, mine holding) bool {
	return slices.ContainsFunc(w.Mounts, func(m spec.Mount) bool { return target(&m) == id && clashes(holding{readOnly: m.ReadOnly}, mine) })
}

// taker is the change by which s takes volumes and disks, nil when none does: a start, or one of what a guest has mounted.
func (s *workspaceState) taker() *Change {
	if s != nil && s.change != nil && s.change.Mount {
		return s.change
	}
	return s.starter()
}

// starter is the change that starts s's guest, nil when none does.
func (s *workspaceState) starter() *Change {
	switch {
	case s == nil || s.change == nil || s.want.Desired == spec.DesiredStopped:
		return nil
	case s.want.Mode == spec.ModeTask:
		if s.task.Action == ActionRun {
			return s.task
		}
		return nil
	}
	switch s.change.Action {
	case ActionCreate, ActionReplace, ActionRestart, ActionStart:
		return s.change
	}
	return nil
}
