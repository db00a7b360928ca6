package plan_test

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"microagent/plan"
	"microagent/plan/observed"
	"microagent/schema"
	"microagent/schema/spec"
)

// sim is a world that plans are applied to, following what plan.Action says and nothing else. It fails its test when
// a plan asks for what the drivers would refuse: two kernels on one disk, an image that is not in the store, a task
// without a run key.
type sim struct {
	t          testing.TB
	volumes    map[string]observed.Volume
	workspaces map[string]observed.Workspace
	bundles    map[string]observed.Bundle
	sources    map[string]string // digest by bundle name
	cache      map[string]bool   // bundle digests with a disk
	registry   map[string]string // digest by reference
	store      map[string]bool   // digests
	targets    map[string]string // digest by path on the host
	records    map[string]string
	diskIDs    map[string]string // by disk name
	project    observed.Project
	lossy      []string                    // what --allow-data-loss names
	named      string                      // what project is of, once there is one
	projects   map[string]observed.Project // all others
	host       spec.Host
	servers    []spec.Port
	offline    bool
	pull       bool
	broken     map[string]string // errors by "image REF", "source NAME", "disk NAME", "output NAME"
	taskExit   int
	stable     bool              // a task leaves the same for the same inputs, as far as a bundle and its command go
	digests    map[string]string // of bundles that are made of outputs, in the apply at hand
	unneeded   int               // changes of the last apply
	manifest   *schema.Manifest
	serial     int
}

func newSim(t testing.TB) *sim {
	return &sim{
		t: t, volumes: map[string]observed.Volume{}, workspaces: map[string]observed.Workspace{},
		bundles: map[string]observed.Bundle{}, sources: map[string]string{}, cache: map[string]bool{},
		registry: map[string]string{}, store: map[string]bool{}, targets: map[string]string{},
		records: map[string]string{}, diskIDs: map[string]string{}, broken: map[string]string{},
		host: spec.Host{VMM: "qemu 7.2.22 (tcg)", Why: "the CPU offers no virtualisation", Kernel: "6.1.0", CPUs: 4, Memory: 8 << 30, DiskFree: 100 << 30},
	}
}

func digestOf(parts ...any) string {
	return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(fmt.Sprintln(parts...))))
}

func (s *sim) id(kind string) string {
	s.serial++
	return fmt.Sprintf("%s-%04d", kind, s.serial)
}

func (s *sim) write(kind, name string) { s.records[kind+"/"+name] = digestOf(s.id("record")) }

// observe is what refresh would hand to the planner for m.
func (s *sim) observe(m *schema.Manifest) *observed.World {
	s.manifest = m
	s.turnTo(m.Project)
	w := &observed.World{
		Volumes: maps.Clone(s.volumes), Workspaces: maps.Clone(s.workspaces), Bundles: maps.Clone(s.bundles),
		Sources: map[string]observed.Source{}, Images: map[string]observed.Image{}, Disks: map[string]observed.Disk{},
		Outputs: map[string]observed.Output{}, Project: s.project, Projects: maps.Clone(s.projects), Host: s.host, Servers: s.servers, Records: maps.Clone(s.records),
	}
	made := m.MadeOf()
	for name, b := range m.Bundles {
		digest := s.sources[name]
		if made[name] != "" {
			digest = s.bundleAt(b.Source)
			if digest == "" {
				w.Sources[name] = observed.Source{Err: "bundle " + name + ": " + b.Source + " does not exist"}
				continue
			}
		}
		if digest == "" {
			digest = digestOf("source", name)
		}
		w.Sources[name] = observed.Source{Digest: digest, Entries: 3, Bytes: 1000, Built: s.cache[digest], Err: s.broken["source "+name]}
	}
	for name, d := range m.Disks {
		id := s.diskIDs[name]
		if id == "" {
			id = "8:" + name
		}
		w.Disks[name] = observed.Disk{Path: "/home/me/" + d.Path, ID: id, Size: 1 << 30, Err: s.broken["disk "+name]}
	}
	for name, o := range m.Outputs {
		digest, ok := s.targets[o.To]
		w.Outputs[name] = observed.Output{Path: o.To, Exists: ok, Digest: digest, Err: s.broken["output "+name]}
	}
	for _, name := range slices.Sorted(maps.Keys(m.Workspaces)) {
		ws := m.Workspaces[name]
		img := observed.Image{Ref: ws.Image, From: "registry", Size: 3 << 20, Err: s.broken["image "+ws.Image]}
		now := s.tag(ws.Image)
		if !s.offline {
			img.Digest = now
		}
		old, ok := observed.Workspace{}, false
		for _, disk := range plan.Formerly(m, name) {
			if !ok {
				old, ok = s.workspaces[disk]
			}
		}
		if ok && old.Spec.Image == ws.Image && strings.HasPrefix(old.Spec.Name, old.Spec.Project+".") {
			if s.pull && old.Spec.ImageDigest != now {
				img.Moved = now
			}
			if !s.pull {
				img.Digest, img.From = old.Spec.ImageDigest, "record"
			}
		}
		img.InStore = s.store[img.Digest]
		if known, ok := w.Images[ws.Image]; !ok || known.From != "record" {
			w.Images[ws.Image] = img
		}
	}
	return w
}

// turnTo has the world seen by a plan of that project.
func (s *sim) turnTo(project string) {
	if s.named != "" && s.named != project {
		if s.projects == nil {
			s.projects = map[string]observed.Project{}
		}
		s.projects[s.named] = s.project
		s.project = s.projects[project]
		delete(s.projects, project)
	}
	s.named = project
}

// bundleAt is the digest of a bundle that is made of an output at path, "" when nothing is there.
func (s *sim) bundleAt(path string) string {
	if _, there := s.targets[path]; !there {
		return ""
	}
	return digestOf("bundle", s.targets[path])
}

func (s *sim) tag(ref string) string {
	if d, ok := s.registry[ref]; ok {
		return d
	}
	return digestOf("image", ref)
}

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
		}
	}
	s.workspaces[name] = ws
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
		ws.Running, ws.Starting, ws.Run = false, false, &run
	}
}

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
