package plan

import (
	"maps"
	"slices"

	"microagent/plan/observed"
	"microagent/schema"
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

// uses are all uses of one volume or disk.
type uses struct {
	id   string
	list []holding
}

// planUses finds who uses what of all that is to run, refuses what two would hold at once, and finds whose task writes
// what another uses after it.
func (p *planner) planUses() {
	at := map[string]int{} // of a volume or disk in p.uses
	for _, name := range p.order.Sorted() {
		want := desiredSpec(p.manifest, p.order, name, p.world)
		want.Network = p.desiredNetwork(name)
		p.want[name] = want
		for i := range want.Mounts {
			m := &want.Mounts[i]
			id := target(m)
			if id == "" || want.Desired == spec.DesiredStopped {
				continue
			}
			if _, known := at[id]; !known {
				at[id] = len(p.uses)
				p.uses = append(p.uses, uses{id: id})
			}
			of := &p.uses[at[id]]
			of.list = append(of.list, holding{want.Name, m.ReadOnly, p.manifest.Workspaces[name].Mounts[m.Path].Pos, string(m.Kind) + " " + m.Name})
		}
	}
	for _, of := range p.uses {
		p.takeTurns(of.list)
	}
}

// takeTurns looks at the uses of one volume or disk.
func (p *planner) takeTurns(list []holding) {
	name := func(i int) string { return inManifest(p.plan.Project, list[i].workspace) }
	users := make([]schema.Use, len(list))
	for i := range list {
		users[i] = schema.Use{Workspace: name(i), Writes: !list[i].readOnly}
	}
	for i, turn := range p.order.Turns(users) {
		if turn.Clash >= 0 {
			p.fail(CodeTwoWriters, list[i].pos, "give each a volume or disk of its own, mount it read-only in both, or let one come after the other's task has completed",
				"%s in workspace %s is the same file as %s in workspace %s, and one of them writes it",
				list[i].name, name(i), list[turn.Clash].name, name(turn.Clash))
			continue
		}
		if turn.Writer >= 0 && !slices.Contains(p.writers[name(i)], name(turn.Writer)) {
			p.writers[name(i)] = append(p.writers[name(i)], name(turn.Writer))
		}
		for _, before := range turn.Before {
			p.turns[name(i)] = append(p.turns[name(i)], name(before))
		}
	}
}

// giveTurns stops what runs and comes after a task that runs again, for the time of its run, when both use one volume or
// disk.
func (p *planner) giveTurns() {
	held := p.holders()
	for _, of := range p.uses {
		for _, mine := range of.list {
			s := p.state[inManifest(p.plan.Project, mine.workspace)]
			taker := s.starter()
			if taker == nil || taker.Address.Kind != KindTask {
				continue
			}
			for _, h := range held[of.id] {
				w := p.state[inManifest(p.plan.Project, h.workspace)]
				if w != nil && w.have != nil && w.have.Running && w.want.Mode != spec.ModeTask && w.want.Desired != spec.DesiredStopped &&
					clashes(h, mine) && p.order.Ended(s.name, w.name) {
					p.giveTurn(w, taker)
				}
			}
		}
	}
}

// giveTurn stops w before taker, which starts it again once it is done.
func (p *planner) giveTurn(w *workspaceState, taker *Change) {
	turn := p.at[Address{KindTurn, w.name}]
	if turn == nil {
		turn = p.add(Change{
			Address: Address{KindTurn, w.name}, Action: ActionStop, Reason: ReasonDependency, Pos: w.decl.Pos,
			Detail: "while " + taker.Address.String() + " has what it uses", Danger: DangerDowntime, Warning: "a running guest is stopped, and started again",
			Workspace: w.change.Workspace,
		})
		p.onlyIf(turn, taker.If)
	} else if len(turn.If) > 0 {
		if len(taker.If) == 0 {
			turn.If = nil
		}
		p.onlyIf(turn, taker.If)
	}
	c := w.change
	always := c.Does() && len(c.If) == 0
	switch c.Action {
	case ActionNone, ActionWait:
		c.Action, c.Reason, c.Detail = ActionStart, ReasonDependency, "it stopped to give a turn"
	case ActionUpdate:
		c.Action, c.Detail = ActionStart, "it stopped to give a turn; its files stay"
		if c.Publish { // which a start of what may run yet would not do
			c.Action, c.Publish = ActionRestart, false
		}
	}
	p.addEdge(taker, turn.Address)
	p.addEdge(c, taker.Address)
	switch {
	case len(taker.If) == 0:
		c.If = nil
	case !always:
		p.onlyIf(c, []Cause{{Task: taker.Address.Name}})
	}
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
