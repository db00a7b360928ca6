package plan

import (
	"microagent/plan/observed"
	"microagent/schema"
	"microagent/schema/diag"
)

// projectRecord keeps two checkouts of one project apart.
func (k *maker) projectRecord() {
	if !k.here() {
		return
	}
	old := k.w.Project.Manifest
	if old == "" || old == k.o.ManifestPath {
		return
	}
	c := Change{
		Address: Address{KindProject, k.plan.Project}, Action: ActionUpdate, Reason: ReasonDrifted,
		Detail:  "the manifest it was applied from is gone",
		Fields:  []FieldChange{{Path: "manifest", Before: old, After: k.o.ManifestPath}},
		Project: &ProjectObject{Manifest: k.o.ManifestPath}, Pos: k.m.Pos,
	}
	if k.w.Project.Moved {
		c.Reason, c.Detail = ReasonRequested, "taken over by --move-here"
	}
	k.add(c)
}

// here refuses to touch a project that another manifest, which still exists, was applied to.
func (k *maker) here() bool {
	k.bind("project", k.plan.Project)
	if !k.w.Project.Moved || k.o.MoveHere {
		return true
	}
	k.fail(CodeProjectMoved, k.m.Pos, "give this one a name of its own with -p NAME, or take the project over with --move-here",
		"project %s was applied from %s, which still exists", k.plan.Project, k.w.Project.Manifest)
	return false
}

// nothingDeclared refuses a manifest that declares nothing of a project that has workspaces: a file that was cut short or
// not written yet looks like that.
func (k *maker) nothingDeclared() {
	m := k.m
	if len(m.Workspaces)+len(m.Volumes)+len(m.Bundles)+len(m.Disks)+len(m.Outputs) > 0 {
		return
	}
	for _, ws := range k.w.Workspaces {
		if ws.Spec.Project == m.Project {
			k.fail(CodeEmpty, m.Pos, "microagent destroy removes what the project has",
				"the manifest declares nothing, and project %s has workspaces", m.Project)
			return
		}
	}
}

// Destroy computes what it takes to remove what project owns: its workspaces and the records of its bundles. Its
// volumes are kept, whatever the options say, and the plan tells how each is deleted by name.
func Destroy(project string, w *observed.World, o Options) (*Plan, diag.List) {
	k := newMaker(&schema.Manifest{Project: project}, w, o)
	k.plan.Destroy = true
	k.here()
	k.undeclared(ReasonRequested)
	k.depend()
	return k.finish()
}
