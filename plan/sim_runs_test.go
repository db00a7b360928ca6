package plan_test

import (
	"slices"
	"strings"

	"microagent/plan"
	"microagent/plan/observed"
	"microagent/schema/spec"
)

// resolve fills in what apply finds out: the digest that was pulled, the ids of volumes.
func (s *sim) resolve(spec observed.WorkspaceSpec) observed.WorkspaceSpec {
	s.t.Helper()
	if spec.ImageDigest == "" {
		spec.ImageDigest = s.tag(spec.Image)
	}
	if !s.store[spec.ImageDigest] {
		s.t.Fatalf("workspace %s needs image %s, which is not in the store", spec.Name, spec.Image)
	}
	spec.Mounts = slices.Clone(spec.Mounts)
	for i := range spec.Mounts {
		switch m := &spec.Mounts[i]; m.Kind {
		case "volume":
			m.Source = s.volumes[m.Name].ID
			if m.Source == "" {
				s.t.Fatalf("workspace %s needs volume %s, which is not there", spec.Name, m.Name)
			}
		case "bundle":
			if m.Source == "" {
				m.Source = s.digests[m.Name]
			}
			if !s.cache[m.Source] {
				s.t.Fatalf("workspace %s needs bundle %s, which was not built", spec.Name, m.Name)
			}
		}
	}
	return spec
}

// hold takes or gives up the leases on spec's volumes.
func (s *sim) hold(name string, spec observed.WorkspaceSpec, on bool) {
	s.t.Helper()
	for _, m := range spec.Mounts {
		if m.Kind != "volume" {
			continue
		}
		v := s.volumes[m.Name]
		switch {
		case on && v.Holder != "" && v.Holder != name && (!v.HolderReadOnly || !m.ReadOnly):
			s.t.Fatalf("workspace %s takes volume %s, which %s holds", name, m.Name, v.Holder)
		case on:
			v.Holder, v.HolderReadOnly = name, m.ReadOnly
		case v.Holder == name:
			v.Holder, v.HolderReadOnly = "", false
		}
		if v.ID != "" {
			s.volumes[m.Name] = v
		}
	}
}

// inOrder sees that all that comes before a workspace which starts has come so far.
func (s *sim) inOrder(p *plan.Plan, name string) {
	s.t.Helper()
	for _, f := range s.manifest.Order().First(name) {
		x := s.workspaces[plan.OnDisk(p.Project, f.Workspace)]
		if x.Spec.Desired == spec.DesiredStopped {
			continue // whose output is on the host already
		}
		if x.Run == nil {
			s.t.Fatalf("%s starts before %s, which it comes after", name, f.Workspace)
		}
		ended := x.Run.Phase == spec.PhaseFinished && x.Run.ExitCode != nil && *x.Run.ExitCode == 0
		switch {
		case f.Until == spec.UntilCompleted && !ended,
			f.Until == spec.UntilReady && !x.Running,
			f.Until == spec.UntilStarted && !x.Running && !ended:
			s.t.Fatalf("%s starts before %s is %s: %+v", name, f.Workspace, f.Until, x.Run)
		}
	}
}

// lastFirst sees that nothing is deleted that something else which goes as well came after.
func (s *sim) lastFirst(p *plan.Plan, c *plan.Change) {
	s.t.Helper()
	for i := range p.Changes {
		later := &p.Changes[i]
		if ws, there := s.workspaces[plan.OnDisk(p.Project, later.Address.Name)]; there && later.Address.Kind == plan.KindWorkspace && later.Action == plan.ActionDelete {
			for _, a := range ws.Spec.After {
				if a.Workspace == c.Address.Name {
					s.t.Fatalf("%s is deleted before %s, which came after it", c.Address, later.Address)
				}
			}
		}
	}
}

func (s *sim) task(p *plan.Plan, c *plan.Change) {
	s.t.Helper()
	name := c.Workspace.Name
	ws := s.workspaces[name]
	if c.Action == plan.ActionRun {
		if ws.Running && !ws.BacksOff {
			s.t.Fatalf("%s is started while a run is under way", c.Address)
		}
		var runs []string
		for _, writer := range c.Writers {
			runs = append(runs, s.workspaces[writer].Run.ID)
		}
		key, err := plan.RunKey(ws.Spec, ws.ID, runs...)
		if err != nil || c.RunKey != "" && key != c.RunKey {
			s.t.Fatalf("%s: run key %q, planned %q: %v", c.Address, key, c.RunKey, err)
		}
		s.inOrder(p, c.Address.Name)
		s.hold(name, ws.Spec, true)
		ws.Run = &observed.Run{ID: s.id("run"), Key: key}
		ws.Running, ws.BacksOff = true, false
	}
	s.workspaces[name] = ws
	s.endTask(name, s.taskExit)
}

// endTask lets the run that is under way end.
func (s *sim) endTask(name string, code int) {
	ws := s.workspaces[name]
	run := *ws.Run
	run.Phase, run.ExitCode, run.Collected = "finished", &code, map[string]observed.Collected{}
	for _, o := range ws.Spec.Outputs {
		digest := digestOf("output", o.Name, run.ID)
		if s.stable {
			digest = digestOf("output", o.Name, ws.Spec.Argv)
			for _, m := range ws.Spec.Mounts {
				if m.Kind == "bundle" && !strings.HasPrefix(m.Name, "b") { // the source of a b changes nothing in what is made
					digest = digestOf(digest, m.Source)
				}
			}
		}
		run.Collected[o.Name] = observed.Collected{Digest: digest, From: o.Path}
	}
	s.hold(name, ws.Spec, false)
	ws.Run, ws.Running = &run, false
	s.workspaces[name] = ws
}
