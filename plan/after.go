package plan

import (
	"slices"

	"microagent/schema"
	"microagent/schema/spec"
)

// Wait is a change of a workspace that comes first, or of its task, and how far it has to be.
type Wait struct {
	Address Address    `json:"address"`
	Until   spec.Until `json:"until"`
}

// Begun says that it is enough for the change to have begun: its task runs, or its guest does and is not ready yet.
func (w Wait) Begun() bool { return w.Until == spec.UntilStarted }

// Needs are all changes of this plan that come before c in its order.
func (c *Change) Needs() []Address {
	needs := slices.Clone(c.Deps)
	for _, w := range c.After {
		if w.Begun() {
			needs = append(needs, w.Address)
		}
	}
	return needs
}

// addOrder lets what starts wait for what comes first, and what stops for what came after it.
func (p *planner) addOrder() {
	for _, name := range p.order.Sorted() {
		s := p.state[name]
		c := s.starter()
		if c == nil {
			continue
		}
		for _, first := range p.order.First(name) {
			if x := p.state[first.Workspace]; x != nil && x.change != nil {
				p.waitUntil(c, x, first.Until)
			}
		}
		for _, before := range p.turns[name] {
			p.addEdge(c, Address{KindTask, before})
		}
		p.waitThrough(c, name, map[string]bool{name: true})
	}
	p.reverseStops()
}

// waitThrough makes c wait for what starts and comes before name by way of others that go on as they are, so that nobody waits
// for it in their place.
func (p *planner) waitThrough(c *Change, name string, seen map[string]bool) {
	for _, first := range p.order.First(name) {
		x := p.state[first.Workspace]
		if x == nil || x.change == nil || seen[first.Workspace] {
			continue
		}
		seen[first.Workspace] = true
		if x.starter() != nil {
			continue
		}
		for _, before := range p.order.First(first.Workspace) {
			y := p.state[before.Workspace]
			waits := func(w Wait) bool { return w.Address.Name == before.Workspace }
			if y.starter() != nil && !slices.ContainsFunc(c.After, waits) && !slices.Contains(c.Deps, y.starter().Address) {
				p.waitUntil(c, y, before.Until)
			}
		}
		p.waitThrough(c, first.Workspace, seen)
	}
}

// waitUntil makes c wait until x has come so far, unless it has already.
func (p *planner) waitUntil(c *Change, x *workspaceState, until spec.Until) {
	var of *Change
	switch {
	case until == spec.UntilReady:
		of = p.waitReady(x)
	case until == spec.UntilCompleted, x.task != nil && x.task.Action == ActionRun:
		of = x.task
	case x.task == nil && (x.starter() != nil || x.change.Action == ActionWait):
		of = x.change
	}
	if of == nil || !of.Does() {
		return
	}
	w := Wait{of.Address, until}
	c.After = append(c.After, w)
	if !w.Begun() {
		p.addEdge(c, of.Address)
	}
}

// waitReady is the step that waits until x is ready: one for all that come after.
func (p *planner) waitReady(x *workspaceState) *Change {
	address := Address{KindReady, x.name}
	if c := p.at[address]; c != nil {
		return c
	}
	want := x.want
	c := p.add(Change{
		Address: address, Action: ActionWait, Reason: ReasonDependency, Detail: "until workspace " + x.name + " is ready",
		Workspace: &want, Pos: x.decl.Pos,
	})
	p.addEdge(c, x.change.Address)
	return c
}

// reverseStops stops and deletes what came after another before that one. Records that contradict one another hold
// nothing up.
func (p *planner) reverseStops() {
	ends := map[string]*Change{}
	for disk, ws := range p.world.Workspaces {
		name := inManifest(p.plan.Project, disk)
		c := p.at[Address{KindWorkspace, name}]
		if p.plan.Project != "" && ws.Spec.Project == p.plan.Project && c != nil && (c.Action == ActionStop || c.Action == ActionDelete) {
			ends[name] = c
		}
	}
	first := map[string][]schema.First{}
	for name := range ends {
		first[name] = nil
		for _, a := range p.world.Workspaces[OnDisk(p.plan.Project, name)].Spec.After {
			if ends[a.Workspace] != nil {
				first[name] = append(first[name], schema.First{After: a})
			}
		}
	}
	order := schema.NewOrder(first)
	for _, name := range order.Sorted() {
		for _, a := range first[name] {
			if order.Before(a.Workspace, name) {
				p.addEdge(ends[a.Workspace], Address{KindWorkspace, name})
			}
		}
	}
}
