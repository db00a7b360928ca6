package plan

import (
	"microagent/plan/observed"
	"microagent/schema"
	"microagent/schema/diag"
)

// planProject keeps two checkouts of one project apart.
func (p *planner) planProject() {
	if !p.claimProject() {
		return
	}
	old := p.world.Project.Manifest
	if old == "" || old == p.options.ManifestPath {
		return
	}
	c := Change{
		Address: Address{KindProject, p.plan.Project}, Action: ActionUpdate, Reason: ReasonDrifted,
		Detail:  "the manifest it was applied from is gone",
		Fields:  []FieldChange{{Path: "manifest", Before: old, After: p.options.ManifestPath}},
		Project: &ProjectObject{Manifest: p.options.ManifestPath}, Pos: p.manifest.Pos,
	}
	if p.world.Project.Moved {
		c.Reason, c.Detail = ReasonRequested, "taken over by --move-here"
	}
	p.add(c)
}

// claimProject refuses to touch a project that another manifest, which still exists, was applied to.
func (p *planner) claimProject() bool {
	p.bind("project", p.plan.Project)
	if !p.world.Project.Moved || p.options.MoveHere {
		return true
	}
	p.fail(CodeProjectMoved, p.manifest.Pos, "give this one a name of its own with --project NAME, or take the project over with --move-here",
		"project %s was applied from %s, which still exists", p.plan.Project, p.world.Project.Manifest)
	return false
}

// refuseEmpty refuses a manifest that declares nothing of a project that has workspaces: a file that was cut short or
// not written yet looks like that.
func (p *planner) refuseEmpty() {
	m := p.manifest
	if len(m.Workspaces)+len(m.Volumes)+len(m.Bundles)+len(m.Disks)+len(m.Outputs) > 0 {
		return
	}
	for _, ws := range p.world.Workspaces {
		if ws.Spec.Project == m.Project {
			p.fail(CodeEmpty, m.Pos, "to remove what the project has: microagent destroy",
				"the manifest declares nothing, and project %s has workspaces", m.Project)
			return
		}
	}
}

// Destroy computes what it takes to remove what project owns: its workspaces and the records of its bundles. Its
// volumes are kept, whatever the options say, and the plan tells how each is deleted by name.
func Destroy(project string, w *observed.World, o Options) (*Plan, diag.List) {
	p := newPlanner(&schema.Manifest{Project: project}, w, o)
	p.plan.Destroy = true
	p.claimProject()
	p.removeUndeclared(ReasonRequested)
	p.addDependencies()
	p.addOrder()
	p.checkLoss()
	return p.finish()
}
