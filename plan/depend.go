package plan

import (
	"slices"

	"microagent/plan/observed"
	"microagent/schema/spec"
)

// addDependencies draws the edges between changes that do something.
func (p *planner) addDependencies() {
	for _, s := range p.state {
		if s.change == nil {
			continue
		}
		if s.change.Does() && s.change.NeedsImage() {
			p.addEdge(s.change, Address{KindImage, s.want.Image})
		}
		for _, c := range []*Change{s.change, s.task} {
			if c != nil && c.Does() {
				p.dependOnMounts(c, &s.want)
			}
		}
		if s.task != nil && s.task.Does() {
			p.addEdge(s.task, s.change.Address)
		}
	}
	for name, o := range p.manifest.Outputs {
		if c := p.at[Address{KindOutput, name}]; c != nil && c.Does() {
			p.addEdge(c, Address{KindTask, o.From})
		}
	}
	p.releaseBundles()
}

// dependOnMounts makes c wait for what a workspace mounts.
func (p *planner) dependOnMounts(c *Change, of *observed.WorkspaceSpec) {
	for _, m := range of.Mounts {
		switch m.Kind {
		case spec.MountVolume:
			p.addEdge(c, Address{KindVolume, inManifest(p.plan.Project, m.Name)})
		case spec.MountBundle:
			p.addEdge(c, Address{KindBundle, m.Name})
		}
	}
}

// releaseBundles makes the deletion of a bundle's record wait for every workspace that was applied with it.
func (p *planner) releaseBundles() {
	deleted := map[string]*Change{}
	for _, c := range p.all {
		if c.Address.Kind == KindBundle && c.Action == ActionDelete {
			deleted[c.Address.Name] = c
		}
	}
	if len(deleted) == 0 {
		return
	}
	for disk, ws := range p.world.Workspaces {
		if ws.Spec.Project != p.plan.Project {
			continue
		}
		for _, m := range ws.Spec.Mounts {
			if c := deleted[m.Name]; c != nil && m.Kind == spec.MountBundle {
				p.addEdge(c, Address{KindWorkspace, inManifest(p.plan.Project, disk)})
			}
		}
	}
}

// addEdge makes c wait for another change, if that is in the plan and does something. Deps stay sorted and unique.
func (p *planner) addEdge(c *Change, to Address) {
	dep := p.at[to]
	if dep == nil || dep == c || !dep.Does() {
		return
	}
	delete(p.loose, loose{c.Address, to})
	if i, found := slices.BinarySearchFunc(c.Deps, to, compareAddress); !found {
		c.Deps = slices.Insert(c.Deps, i, to)
	}
}

// loose is an edge of changes that can be made without one another, and not in the other order.
type loose struct{ change, dep Address }

// addLoose is addEdge of one that is loose.
func (p *planner) addLoose(c *Change, to Address) {
	if !slices.Contains(c.Deps, to) {
		p.addEdge(c, to)
		p.loose[loose{c.Address, to}] = true
	}
}
