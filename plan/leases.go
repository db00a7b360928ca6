package plan

import (
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
			if taker := s.starter(); taker != nil {
				p.awaitHolders(taker, mine, of.id, held[of.id])
			}
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
		for i := range ws.Spec.Mounts {
			if id := target(&ws.Spec.Mounts[i]); id != "" {
				add(id, holding{workspace: disk, readOnly: ws.Spec.Mounts[i].ReadOnly})
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
	case ActionRestart, ActionReplace:
		if c.Workspace.Desired == spec.DesiredStopped || c.Workspace.Mode == spec.ModeTask && p.inTurns(c.Address.Name, inManifest(p.plan.Project, mine.workspace)) {
			return true
		}
		return !slices.ContainsFunc(c.Workspace.Mounts, func(m spec.Mount) bool {
			return target(&m) == id && clashes(holding{readOnly: m.ReadOnly}, mine)
		})
	}
	return false
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
