package plan_test

import (
	"maps"
	"slices"

	"microagent/plan"
	"microagent/plan/observed"
	"microagent/schema/spec"
)

// apply does what p says, in its order.
func (s *sim) apply(p *plan.Plan) {
	s.t.Helper()
	if !p.Destroy && !p.Empty() {
		s.project.Manifest, s.project.Moved = p.Manifest, false
		if from := p.MovedFrom(); len(from) > 0 {
			s.project.MovingFrom = from[0]
		}
	}
	done := map[plan.Address]bool{}
	s.unneeded = 0
	s.digests = map[string]string{}
	for i := range p.Changes {
		c := &p.Changes[i]
		for _, dep := range append(c.Needs(), c.DependsOn()...) {
			if !done[dep] {
				s.t.Fatalf("%s is done before %s", c.Address, dep)
			}
		}
		if !c.Does() {
			continue
		}
		done[c.Address] = true
		if !c.Needed(s.digests) {
			s.unneeded++
			if c.Address.Kind == plan.KindBundle {
				s.digests[c.Address.Name] = c.Bundle.Was
			}
			continue
		}
		s.change(p, c)
	}
}

func (s *sim) change(p *plan.Plan, c *plan.Change) {
	s.t.Helper()
	switch c.Address.Kind {
	case plan.KindProject:
		s.project.Manifest, s.project.Moved, s.project.MovingFrom = c.Project.Manifest, false, ""
		for _, from := range c.Project.From {
			outputs := maps.Clone(s.projects[from].Outputs)
			maps.Copy(outputs, s.project.Outputs)
			s.project.Outputs = outputs
			delete(s.projects, from)
		}
	case plan.KindRename:
		s.rename(p, c)
	case plan.KindImage:
		digest := c.Image.Digest
		if digest == "" {
			digest = s.tag(c.Image.Ref)
		}
		s.store[digest] = true
	case plan.KindVolume:
		s.volume(p, c)
	case plan.KindBundle:
		name := plan.OnDisk(p.Project, c.Address.Name)
		s.write("bundle", name)
		if c.Bundle != nil && c.Bundle.From != "" {
			old := s.bundles[c.Bundle.From]
			delete(s.bundles, c.Bundle.From)
			delete(s.records, "bundle/"+c.Bundle.From)
			if old.Project = p.Project; c.Action == plan.ActionMove {
				s.bundles[name] = old
				return
			}
		}
		if c.Action == plan.ActionDelete {
			for _, ws := range s.workspaces {
				for _, m := range ws.Spec.Mounts {
					if m.Kind == "bundle" && m.Name == c.Address.Name && ws.Spec.Project == p.Project {
						s.t.Fatalf("the record of bundle %s is deleted while workspace %s mounts it", name, ws.Spec.Name)
					}
				}
			}
			delete(s.bundles, name)
			delete(s.records, "bundle/"+name)
			return
		}
		digest := c.Bundle.Digest
		if digest == "" {
			digest = s.bundleAt(c.Bundle.Source)
		}
		if digest == "" {
			s.t.Fatalf("%s is made of %s, which is not there", c.Address, c.Bundle.Source)
		}
		s.digests[c.Address.Name] = digest
		s.cache[digest] = true
		s.bundles[name] = observed.Bundle{Project: p.Project, Digest: digest, Source: c.Bundle.Source, Built: true}
	case plan.KindWorkspace:
		s.workspace(p, c)
	case plan.KindTurn:
		ws := s.workspaces[c.Workspace.Name]
		s.stop(&ws)
		s.workspaces[c.Workspace.Name] = ws
	case plan.KindReady:
		if ws := s.workspaces[plan.OnDisk(p.Project, c.Address.Name)]; !ws.Running {
			s.t.Fatalf("%s is waited for, and does not run", c.Address)
		}
	case plan.KindTask:
		s.task(p, c)
	case plan.KindOutput:
		got, ok := s.workspaces[c.Output.Workspace].Run.Collected[c.Address.Name]
		if !ok {
			s.t.Fatalf("%s is collected, and the run left nothing", c.Address)
		}
		there, taken := s.targets[c.Output.To]
		if taken && there != got.Digest && !slices.Contains(c.Output.Ours, there) && !c.Output.Overwrite {
			s.t.Fatalf("%s replaces what no apply put there", c.Address)
		}
		brought := got.Digest
		if c.Output.AllowGit && got.WithGit != "" {
			brought = got.WithGit
		}
		s.targets[c.Output.To] = brought
		s.project.Outputs = maps.Clone(s.project.Outputs)
		if s.project.Outputs == nil {
			s.project.Outputs = map[string]string{}
		}
		s.project.Outputs[c.Output.To] = brought
	default:
		s.t.Fatalf("%s %s: no such operation", c.Action, c.Address)
	}
}

func (s *sim) volume(p *plan.Plan, c *plan.Change) {
	v := s.volumes[c.Volume.Name]
	switch c.Action {
	case plan.ActionCreate:
		if v.ID != "" {
			s.t.Fatalf("%s is made over another", c.Address)
		}
		v = observed.Volume{ID: s.id("volume"), Project: p.Project, Size: c.Volume.Size, Protected: c.Volume.Protected}
	case plan.ActionReplace:
		if v.ID == "" || v.Protected || !c.Loss || !slices.Contains(s.lossy, c.Address.String()) {
			s.t.Fatalf("%s is given up, and nobody said so: %+v", c.Address, v)
		}
		if ws, ok := s.workspaces[c.Volume.Holder]; ok {
			s.stop(&ws)
			s.workspaces[c.Volume.Holder] = ws
		}
		if v = s.volumes[c.Volume.Name]; v.Holder != "" {
			s.t.Fatalf("%s is given up while %s has it", c.Address, v.Holder)
		}
		v = observed.Volume{ID: s.id("volume"), Project: p.Project, Size: c.Volume.Size, Protected: c.Volume.Protected}
	case plan.ActionMove, plan.ActionGrow, plan.ActionUpdate:
		if from := c.Volume.From; from != "" {
			if v.ID != "" {
				s.t.Fatalf("%s is moved over another", c.Address)
			}
			if ws, ok := s.workspaces[c.Volume.Holder]; ok {
				s.stop(&ws)
				s.workspaces[c.Volume.Holder] = ws
			}
			if v = s.volumes[from]; v.Holder != "" {
				s.t.Fatalf("%s is moved while %s has it", c.Address, v.Holder)
			}
			delete(s.volumes, from)
			delete(s.records, "volume/"+from)
		}
		if c.Volume.Size > v.Size && v.HolderReadOnly {
			s.t.Fatalf("%s grows while %s only reads it", c.Address, v.Holder)
		}
		if c.Volume.Size < v.Size {
			s.t.Fatalf("%s shrinks", c.Address)
		}
		v.Size, v.Protected, v.Project = c.Volume.Size, c.Volume.Protected, p.Project
	default:
		s.t.Fatalf("%s %s", c.Action, c.Address)
	}
	s.volumes[c.Volume.Name] = v
	s.write("volume", c.Volume.Name)
}

func (s *sim) workspace(p *plan.Plan, c *plan.Change) {
	s.t.Helper()
	name := plan.OnDisk(p.Project, c.Address.Name)
	ws, ok := s.workspaces[name]
	if ok == (c.Action == plan.ActionCreate) {
		s.t.Fatalf("%s %s, there: %v", c.Action, c.Address, ok)
	}
	switch c.Action {
	case plan.ActionDelete:
		s.lastFirst(p, c)
		s.hold(name, ws.Spec, false)
		delete(s.workspaces, name)
		delete(s.records, "workspace/"+name)
		return
	case plan.ActionStop, plan.ActionRestart, plan.ActionReplace:
		s.stop(&ws)
	}
	if c.Action == plan.ActionCreate || c.Action == plan.ActionReplace {
		ws.ID, ws.RootFSMissing = s.id("rootfs"), false
	}
	if c.Action == plan.ActionCreate || len(c.Fields) > 0 || c.Action == plan.ActionReplace {
		ws.Spec = s.resolve(*c.Workspace)
		s.write("workspace", name)
	}
	if c.Mount {
		s.remount(c, &ws)
	}
	if c.Resize {
		s.resize(c, &ws)
	}
	switch c.Action {
	case plan.ActionUpdate, plan.ActionStop:
	default:
		if ws.Spec.Desired != "stopped" && ws.Spec.Mode != "task" {
			phase := spec.PhaseReady
			if ws.Spec.Mode == "service" {
				phase = spec.PhaseRunning
			}
			if !ws.Running {
				s.inOrder(p, c.Address.Name)
			}
			ws.Run = &observed.Run{ID: s.id("run"), Phase: phase}
			ws.Running, ws.Starting, ws.BacksOff, ws.NotReady = true, false, false, ""
			s.hold(name, ws.Spec, true)
			ws.Live = s.live(&ws)
		}
	}
	s.workspaces[name] = ws
}

// live is what a guest that has just started can change.
func (s *sim) live(ws *observed.Workspace) *observed.Live {
	if s.room == 0 {
		return nil
	}
	l := &observed.Live{Mounts: slices.Clone(ws.Spec.Mounts), Room: s.room, VM: s.vm(ws)}
	for i := range l.Mounts {
		m := &l.Mounts[i]
		if m.Kind == spec.MountBundle {
			m.Source = "the key of its disk"
		}
		if s.fixed {
			l.Fixed = append(l.Fixed, m.Path)
		}
	}
	return l
}

// vm is what the VM of a guest has that has just started.
func (s *sim) vm(ws *observed.Workspace) *spec.VM {
	vm := &spec.VM{CPUs: ws.Spec.CPUs, Memory: ws.Spec.Memory}
	if s.grows == 0 {
		vm.Fixed = "under " + s.host.VMM + " a guest keeps what it started with"
		return vm
	}
	vm.MaxCPUs, vm.MaxMemory, vm.Grows = max(vm.CPUs, ws.Spec.MaxCPUs), max(vm.Memory, ws.Spec.MaxMemory), s.grows
	return vm
}

// behind changes the VM of a guest, and no record says so.
func (s *sim) behind(ws *observed.Workspace, change func(vm *spec.VM)) {
	if ws.Live == nil {
		s.t.Fatalf("%s: nothing is known of its VM", ws.Spec.Name)
	}
	l, vm := *ws.Live, *ws.Live.VM
	change(&vm)
	l.VM = &vm
	ws.Live = &l
}

// resize gives a guest the CPUs and memory of its spec, as far as it can have them.
func (s *sim) resize(c *plan.Change, ws *observed.Workspace) {
	s.t.Helper()
	if c.Action != plan.ActionUpdate || !ws.Running || ws.Live == nil || ws.Spec.Mode == spec.ModeTask {
		s.t.Fatalf("%s %s: its CPUs and memory change, and can't: %+v", c.Action, c.Address, ws)
	}
	s.behind(ws, func(vm *spec.VM) {
		for _, why := range []string{vm.CPUsStay(c.Workspace.CPUs), vm.MemoryStays(c.Workspace.Memory)} {
			if why != "" {
				s.t.Fatalf("%s %s: %s", c.Action, c.Address, why)
			}
		}
		if vm.Memory != c.Workspace.Memory {
			vm.Grows--
		}
		vm.CPUs, vm.Memory = c.Workspace.CPUs, c.Workspace.Memory
	})
}

// unmount takes the first volume from a guest that can give it, and no record says so: an apply was interrupted.
func (s *sim) unmount(ws *observed.Workspace) {
	if ws.Live == nil || ws.Spec.Mode == spec.ModeTask {
		return
	}
	l := *ws.Live
	i := slices.IndexFunc(l.Mounts, func(m spec.Mount) bool { return m.Kind == spec.MountVolume && !slices.Contains(l.Fixed, m.Path) })
	if i < 0 {
		return
	}
	l.Mounts = slices.Delete(slices.Clone(l.Mounts), i, i+1)
	l.Room++
	s.hold(ws.Spec.Name, ws.Spec, false)
	s.hold(ws.Spec.Name, observed.WorkspaceSpec{Mounts: l.Mounts}, true)
	ws.Live = &l
}

// remount gives a guest the mounts of its spec, as far as it can have them.
func (s *sim) remount(c *plan.Change, ws *observed.Workspace) {
	s.t.Helper()
	if c.Action != plan.ActionUpdate || !ws.Running || ws.Live == nil || ws.Spec.Mode == spec.ModeTask {
		s.t.Fatalf("%s %s: its mounts change, and can't: %+v", c.Action, c.Address, ws)
	}
	was := *ws.Live
	for _, m := range was.Mounts {
		switch i := slices.IndexFunc(ws.Spec.Mounts, func(n spec.Mount) bool { return n.Path == m.Path }); {
		case i >= 0 && ws.Spec.Mounts[i].Kind == m.Kind && ws.Spec.Mounts[i].Name == m.Name && ws.Spec.Mounts[i].ReadOnly == m.ReadOnly:
		case slices.Contains(was.Fixed, m.Path), m.Kind == spec.MountBundle:
			s.t.Fatalf("%s: %s at %s can't be taken away", c.Address, m.Name, m.Path)
		default:
			was.Room++
		}
	}
	for _, m := range ws.Spec.Mounts {
		if !slices.ContainsFunc(was.Mounts, func(n spec.Mount) bool {
			return n.Path == m.Path && n.Name == m.Name && n.Kind == m.Kind && n.ReadOnly == m.ReadOnly
		}) {
			was.Room--
		}
	}
	if was.Room < 0 {
		s.t.Fatalf("%s: there is no room for so many disks", c.Address)
	}
	s.hold(ws.Spec.Name, observed.WorkspaceSpec{Mounts: was.Mounts}, false)
	s.hold(ws.Spec.Name, ws.Spec, true)
	now := s.live(ws)
	now.VM = was.VM
	now.Fixed, now.Room = slices.DeleteFunc(was.Fixed, func(path string) bool {
		return !slices.ContainsFunc(now.Mounts, func(m spec.Mount) bool { return m.Path == path })
	}), was.Room
	ws.Live = now
}

// rename gives a workspace its name, stopped.
func (s *sim) rename(p *plan.Plan, c *plan.Change) {
	s.t.Helper()
	ws, ok := s.workspaces[c.Rename.From]
	if _, taken := s.workspaces[c.Rename.Name]; !ok || taken {
		s.t.Fatalf("%s: %s is there: %v, its new name is taken: %v", c.Address, c.Rename.From, ok, taken)
	}
	s.stop(&ws)
	delete(s.workspaces, c.Rename.From)
	delete(s.records, "workspace/"+c.Rename.From)
	ws.Spec.Name, ws.Spec.Project = c.Rename.Name, p.Project
	s.workspaces[c.Rename.Name] = ws
	s.write("workspace", c.Rename.Name)
}

func (s *sim) stop(ws *observed.Workspace) {
	if ws.Running {
		s.hold(ws.Spec.Name, ws.Spec, false)
		run := *ws.Run
		run.Phase, run.Stopped = "finished", true
		ws.Running, ws.Starting, ws.Run, ws.Live = false, false, &run, nil
	}
}
