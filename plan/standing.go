package plan

import (
	"slices"

	"microagent/plan/observed"
	"microagent/schema/spec"
)

// decide adds the changes of a workspace and of its task. What rests on a bundle that comes in this plan, or on a run
// that may, is planned for the case that it stays as it is, and for the other: what only the second has is for the sake
// of that.
func (p *planner) decide(s *workspaceState) {
	change, task := p.compareAll(s, false)
	if still, bundles, runs := p.standing(s); still != nil {
		then := *s
		then.want = *still
		stays, stayed := p.compareAll(&then, true)
		if under := stayed != nil && stayed.Action == ActionWait; under { // what is under way can't be waited for and be stopped
			bundles, runs = nil, nil
		}
		if !stays.Does() {
			change.If = bundles
		}
		if stayed != nil && !stayed.Does() {
			task.If = slices.Concat(bundles, runs)
			if len(task.If) > 0 {
				task.Reason, task.Detail = ReasonDependency, "what it rests on may change"
			}
		}
	}
	want := s.want
	change.Workspace = &want
	s.change = p.addIf(change)
	if task != nil {
		task.Workspace = &want
		s.task = p.addIf(*task)
	}
}

// addIf adds a change that waits for its causes.
func (p *planner) addIf(c Change) *Change {
	causes := c.If
	c.If = nil
	added := p.add(c)
	if c.Does() {
		p.onlyIf(added, causes)
	}
	return added
}

// standing is what is wanted of a workspace when the bundles that come in this plan are what it has of them, and the runs
// that may come don't: nil when there are none, or there is nothing yet that could stay. It comes with the causes for
// which it does not stay.
func (p *planner) standing(s *workspaceState) (want *observed.WorkspaceSpec, bundles, runs []Cause) {
	if s.have == nil {
		return nil, nil, nil
	}
	still := s.want
	still.Mounts = slices.Clone(s.want.Mounts)
	for i := range still.Mounts {
		m := &still.Mounts[i]
		if m.Kind != spec.MountBundle || !p.pending[m.Name] {
			continue
		}
		at := slices.IndexFunc(s.have.Spec.Mounts, func(old spec.Mount) bool {
			return old.Path == m.Path && old.Kind == m.Kind && old.Name == m.Name && old.Source != ""
		})
		if at < 0 {
			return nil, nil, nil
		}
		m.Source = s.have.Spec.Mounts[at].Source
		bundles = append(bundles, Cause{Bundle: m.Name, Not: m.Source})
	}
	for _, name := range p.writers[s.name] {
		if x := p.state[name]; x != nil && x.task != nil && len(x.task.If) > 0 {
			runs = append(runs, x.task.If...)
		}
	}
	if len(bundles)+len(runs) == 0 {
		return nil, nil, nil
	}
	return &still, bundles, runs
}
