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

// checkLeases looks for what two would hold at once, and lets whoever takes a volume or disk wait until it is given up.
func (p *planner) checkLeases() {
	held := p.holders()
	declared := map[string][]holding{}
	for _, name := range slices.Sorted(maps.Keys(p.state)) {
		s := p.state[name]
		if s.want.Desired == spec.DesiredStopped {
			continue
		}
		for i := range s.want.Mounts {
			m := &s.want.Mounts[i]
			id := target(m)
			if id == "" {
				continue
			}
			mine := holding{s.want.Name, m.ReadOnly, s.decl.Mounts[m.Path].Pos, string(m.Kind) + " " + m.Name}
			p.refuseTwoWriters(declared[id], mine)
			declared[id] = append(declared[id], mine)
			if taker := s.starter(); taker != nil {
				p.awaitHolders(taker, mine, id, held[id])
			}
		}
	}
}

func (p *planner) refuseTwoWriters(others []holding, mine holding) {
	for _, other := range others {
		if !clashes(other, mine) {
			continue
		}
		p.fail(CodeTwoWriters, mine.pos, "give each a volume or disk of its own, or mount it read-only in both",
			"%s in workspace %s is the same file as %s in workspace %s, and one of them writes it",
			mine.name, inManifest(p.plan.Project, mine.workspace), other.name, inManifest(p.plan.Project, other.workspace))
		return
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
		if c.Workspace.Desired == spec.DesiredStopped {
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
	case s.change == nil || s.want.Desired == spec.DesiredStopped:
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
