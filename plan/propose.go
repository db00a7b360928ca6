package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"microagent/plan/observed"
	"microagent/schema/spec"
)

// proposeVolumes warns of each volume that would be new and empty where one that is like it is declared no more.
func (p *planner) proposeVolumes() {
	vanished := p.vanished()
	if len(vanished) == 0 {
		return
	}
	like := p.mountedInItsPlace(vanished)
	p.onlyOnesOfTheirSize(vanished, like)
	for _, name := range slices.Sorted(maps.Keys(like)) {
		c := p.at[Address{KindVolume, name}]
		if c == nil || c.Action != ActionCreate {
			continue
		}
		p.warn(CodeRenamed, c.Pos, "if it is that one under another name, write: moved: [{volume: "+like[name]+", to: "+name+"}]",
			"volume %s would be new and empty, and volume %s, which has data, is declared no more", name, like[name])
	}
}

// vanished are the project's volumes that the manifest does not have any more, by name in it, with their sizes.
func (p *planner) vanished() map[string]int64 {
	list := map[string]int64{}
	for disk, v := range p.world.Volumes {
		name := inManifest(p.plan.Project, disk)
		if _, declared := p.manifest.Volumes[name]; !declared && v.Project == p.plan.Project && v.Project != "" && !v.NoRecord && !v.Missing && v.Broken.Why == "" {
			list[name] = v.Size
		}
	}
	for _, m := range p.manifest.Moved {
		delete(list, m.Volume)
	}
	return list
}

// mountedInItsPlace are the vanished volumes, each by the declared one that a workspace is to have where it has that.
func (p *planner) mountedInItsPlace(vanished map[string]int64) map[string]string {
	like := map[string]string{}
	for _, in := range slices.Sorted(maps.Keys(p.manifest.Workspaces)) {
		for _, m := range p.world.Workspaces[OnDisk(p.plan.Project, in)].Spec.Mounts {
			now := p.manifest.Workspaces[in].Mounts[m.Path].Volume
			old := inManifest(p.plan.Project, m.Name)
			if _, gone := vanished[old]; gone && m.Kind == spec.MountVolume && now != "" && like[now] == "" {
				like[now] = old
			}
		}
	}
	return like
}

// onlyOnesOfTheirSize adds those that are like each other in size, where it is one that vanished and one that is new.
func (p *planner) onlyOnesOfTheirSize(vanished map[string]int64, like map[string]string) {
	bySize := func(count map[int64][]string, name string, size int64) { count[size] = append(count[size], name) }
	gone, fresh := map[int64][]string{}, map[int64][]string{}
	for name, size := range vanished {
		bySize(gone, name, size)
	}
	for name, v := range p.manifest.Volumes {
		if c := p.at[Address{KindVolume, name}]; c != nil && c.Action == ActionCreate {
			bySize(fresh, name, int64(v.Size))
		}
	}
	for size, names := range fresh {
		if len(names) == 1 && len(gone[size]) == 1 && like[names[0]] == "" {
			like[names[0]] = gone[size][0]
		}
	}
}

// proposeWorkspaces warns of each workspace that would be made anew where the only one that is like it is declared no more.
func (p *planner) proposeWorkspaces() {
	gone, fresh, moved := map[string][]string{}, map[string][]string{}, p.manifest.NamesNow("workspace")
	for _, c := range p.all {
		if c.Address.Kind != KindWorkspace {
			continue
		}
		switch c.Action {
		case ActionDelete:
			if moved[c.Address.Name] != "" {
				continue // moved says what it is
			}
			have := p.world.Workspaces[OnDisk(p.plan.Project, c.Address.Name)].Spec
			gone[likeness(&have)] = append(gone[likeness(&have)], c.Address.Name)
		case ActionCreate:
			fresh[likeness(c.Workspace)] = append(fresh[likeness(c.Workspace)], c.Address.Name)
		}
	}
	for _, like := range slices.Sorted(maps.Keys(fresh)) {
		if len(fresh[like]) != 1 || len(gone[like]) != 1 || like == "" {
			continue
		}
		now, old := fresh[like][0], gone[like][0]
		p.warn(CodeRenamed, p.at[Address{KindWorkspace, now}].Pos, "if it is that one under another name, write: moved: [{workspace: "+old+", to: "+now+"}]",
			"workspace %s would be made anew, and workspace %s, which is like it and has files of its own, is declared no more", now, old)
	}
}

// count is a number of things, in words.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// likeness is the same for two workspaces of which one may be the other under another name; "" is like none.
func likeness(s *observed.WorkspaceSpec) string {
	if s.Image == "" {
		return ""
	}
	return strings.Join(append([]string{s.Image, string(s.Mode), commandText(s.Entrypoint, s.NoEntry)}, s.Argv...), "\x00")
}

// proposeProject warns where a project would begin anew and another was applied from the very manifest.
func (p *planner) proposeProject() {
	volumes, workspaces, bundles := p.objectsOf(p.plan.Project)
	if p.options.ProjectGiven || p.world.Project.Manifest != "" || len(volumes)+len(workspaces)+len(bundles) > 0 {
		return
	}
	for _, old := range slices.Sorted(maps.Keys(p.world.Projects)) {
		if p.world.Projects[old].Manifest != p.options.ManifestPath || p.options.ManifestPath == "" || p.manifest.NameNow("project", old) != old {
			continue
		}
		volumes, workspaces, _ := p.objectsOf(old)
		if len(volumes)+len(workspaces) == 0 {
			continue
		}
		p.warn(CodeRenamed, p.manifest.Pos, "if it is that one under another name, write: moved: [{project: "+old+", to: "+p.plan.Project+"}]",
			"project %s would begin anew, and project %s, which this manifest was applied to, has %s and %s",
			p.plan.Project, old, count(len(volumes), "volume"), count(len(workspaces), "workspace"))
	}
}
