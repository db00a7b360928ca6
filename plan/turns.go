package plan

import (
	"maps"
	"slices"

	"microagent/schema"
	"microagent/schema/spec"
)

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
			for _, other := range of.list { // which takes it while it runs, after the task
				w := p.state[inManifest(p.plan.Project, other.workspace)]
				if w != nil && w.change != nil && w.change.Mount && clashes(other, mine) && p.order.Ended(s.name, w.name) {
					p.addEdge(w.change, taker.Address)
				}
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

// given is a turn that a workspace which runs gives to tasks.
type given struct {
	turn, start *Change
	takers      []*Change
	causes      []Cause // of start besides its takers'; always says that it is done without any
	always      bool
}

// giveTurn stops w before taker, which starts it again once it is done.
func (p *planner) giveTurn(w *workspaceState, taker *Change) {
	c := w.change
	g := p.given[w.name]
	if g == nil {
		g = &given{start: c, causes: c.If, always: c.Does() && len(c.If) == 0}
		p.given[w.name] = g
		g.turn = p.add(Change{
			Address: Address{KindTurn, w.name}, Action: ActionStop, Reason: ReasonDependency, Pos: w.decl.Pos,
			Detail: "while " + taker.Address.String() + " has what it uses", Danger: DangerDowntime, Warning: "a running guest is stopped, and started again",
			Workspace: c.Workspace,
		})
	}
	g.takers = append(g.takers, taker)
	switch c.Action {
	case ActionNone, ActionWait:
		c.Action, c.Reason, c.Detail = ActionStart, ReasonDependency, "it stopped to give a turn"
	case ActionUpdate:
		c.Action, c.Detail = ActionStart, "it stopped to give a turn; its files stay"
		if c.InPlace() { // which a start of what may run yet would not do
			c.Action, c.Publish, c.Permit, c.GrowRoot, c.SetEnv, c.Mount, c.Resize = ActionRestart, false, false, false, false, false, false
		}
	}
	p.addEdge(taker, g.turn.Address)
	p.addEdge(c, taker.Address)
}

// conditionTurns makes a turn one that is given only for the causes of those that take it, once all edges are drawn. It
// is given in any case when one of them needs none, or one that is known only after the turn: another may rest on what
// the first leaves.
func (p *planner) conditionTurns() {
	for _, name := range slices.Sorted(maps.Keys(p.given)) {
		g := p.given[name]
		causes := g.causes
		for _, taker := range g.takers {
			if len(taker.If) == 0 || slices.ContainsFunc(taker.If, func(c Cause) bool { return p.needs(p.at[c.address()], g.turn) }) {
				causes, g.always = nil, true
				break
			}
			causes = append(causes, taker.If...)
		}
		g.start.If = nil
		if len(causes) > 0 {
			for _, taker := range g.takers {
				p.onlyIf(g.turn, taker.If)
			}
		}
		if !g.always {
			p.onlyIf(g.start, causes)
		}
	}
}
