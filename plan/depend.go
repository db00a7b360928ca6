package plan

import (
	"slices"

	"microagent/plan/observed"
	"microagent/schema/spec"
)

// depend draws the edges between changes that do something.
func (k *maker) depend() {
	for _, s := range k.state {
		if s.change == nil {
			continue
		}
		if s.change.Does() && needsImage(s.change) {
			k.edge(s.change, Address{KindImage, s.want.Image})
		}
		for _, c := range []*Change{s.change, s.task} {
			if c != nil && c.Does() {
				k.mounted(c, &s.want)
			}
		}
		if s.task != nil && s.task.Does() {
			k.edge(s.task, s.change.Address)
		}
	}
	for name, o := range k.m.Outputs {
		if c := k.at[Address{KindOutput, name}]; c != nil && c.Does() {
			k.edge(c, Address{KindTask, o.From})
		}
	}
	k.releaseBundles()
}

// mounted makes c wait for what in mounts.
func (k *maker) mounted(c *Change, in *observed.WorkspaceSpec) {
	for _, m := range in.Mounts {
		switch m.Kind {
		case spec.MountVolume:
			k.edge(c, Address{KindVolume, inManifest(k.plan.Project, m.Name)})
		case spec.MountBundle:
			k.edge(c, Address{KindBundle, m.Name})
		}
	}
}

// releaseBundles makes the deletion of a bundle's record wait for every workspace that was applied with it.
func (k *maker) releaseBundles() {
	deleted := map[string]*Change{}
	for _, c := range k.all {
		if c.Address.Kind == KindBundle && c.Action == ActionDelete {
			deleted[c.Address.Name] = c
		}
	}
	if len(deleted) == 0 {
		return
	}
	for disk, ws := range k.w.Workspaces {
		if ws.Spec.Project != k.plan.Project {
			continue
		}
		for _, m := range ws.Spec.Mounts {
			if c := deleted[m.Name]; c != nil && m.Kind == spec.MountBundle {
				k.edge(c, Address{KindWorkspace, inManifest(k.plan.Project, disk)})
			}
		}
	}
}

// edge makes c wait for another change, if that is in the plan and does something. Deps stay sorted and unique.
func (k *maker) edge(c *Change, to Address) {
	dep := k.at[to]
	if dep == nil || dep == c || !dep.Does() {
		return
	}
	if i, found := slices.BinarySearchFunc(c.Deps, to, compareAddress); !found {
		c.Deps = slices.Insert(c.Deps, i, to)
	}
}
