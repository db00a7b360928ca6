package plan_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"microagent/plan"
	"microagent/plan/observed"
	"microagent/plan/render"
	"microagent/schema"
	"microagent/schema/diag"
	"microagent/schema/netrule"
	"microagent/schema/quantity"
	"microagent/schema/spec"
)

var update = flag.Bool("update", false, "write the goldens anew")

// TestGolden goes through testdata/*.txtar: "before.yaml", if there is one, is applied to an empty world; the lines of
// "world" happen to it; "after.yaml" (before.yaml when it is missing) is planned; what people are told is "plan",
// and what programs are told "json". When there are no errors, the plan is applied, and the next one has to be empty.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no testdata: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { golden(t, file) })
	}
}

func golden(t *testing.T, file string) {
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string]string{}
	for _, f := range a.Files {
		parts[f.Name] = string(f.Data)
	}
	st := &stage{sim: newSim(t), opts: plan.Options{Tool: "v0", ManifestPath: "/home/me/p/microagent.yaml"}}
	st.sim.project.Manifest = st.opts.ManifestPath
	if text, ok := parts["before.yaml"]; ok {
		p, list := plan.Make(load(t, text), st.sim.observe(load(t, text)), st.opts)
		if err := list.Err(); err != nil {
			t.Fatalf("before.yaml: %v", err)
		}
		st.sim.apply(p)
	}
	for _, line := range strings.Split(strings.TrimSpace(parts["world"]), "\n") {
		st.happen(t, strings.Fields(line))
	}
	text, ok := parts["after.yaml"]
	if !ok {
		text = parts["before.yaml"]
	}
	m := load(t, text)
	p, list := st.make(m)
	var got bytes.Buffer
	if err := render.Text(&got, p, st.render); err != nil {
		t.Fatal(err)
	}
	if err := list.WriteText(&got, 0); err != nil {
		t.Fatal(err)
	}
	checkPlan(t, p)
	if !list.Errors() {
		st.sim.apply(p)
		st.opts.Rerun, st.opts.MoveHere, st.opts.AllowDataLoss = nil, false, nil
		if again, list := st.make(m); !again.Empty() || list.Err() != nil {
			var b bytes.Buffer
			_ = render.Text(&b, again, render.Options{})
			t.Errorf("the plan after the apply is not empty: %v\n%s", list.Err(), b.String())
		}
	}
	if *update {
		files := a.Files[:0]
		for _, f := range a.Files {
			if f.Name != "plan" && f.Name != "json" {
				files = append(files, f)
			}
		}
		a.Files = append(files, txtar.File{Name: "plan", Data: got.Bytes()})
		a.Files = append(a.Files, txtar.File{Name: "json", Data: []byte(shownJSON(t, p))})
		if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want := parts["plan"]; got.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", got.String(), want)
	}
	if got := shownJSON(t, p); got != parts["json"] {
		t.Errorf("got:\n%s\nwant:\n%s", got, parts["json"])
	}
}

// shownJSON is what plan --json says: a line of what it comes to, then one for each change that does something.
func shownJSON(t *testing.T, p *plan.Plan) string {
	t.Helper()
	var whole bytes.Buffer
	if err := render.JSON(&whole, p); err != nil {
		t.Fatal(err)
	}
	type code struct {
		Code string `json:"code"`
	}
	var doc struct {
		Empty    bool `json:"empty"`
		Refusals []code
		Warnings []code
		Summary  map[string]any
		Changes  []struct {
			Address json.RawMessage `json:"address"`
			Action  plan.Action     `json:"action"`
			Deps    json.RawMessage `json:"deps,omitempty"`
			After   json.RawMessage `json:"after,omitempty"`
			If      json.RawMessage `json:"if,omitempty"`
			Writers []string        `json:"writers,omitempty"`
			Fields  []struct {
				Path   string          `json:"path"`
				Effect observed.Effect `json:"effect,omitempty"`
				Why    string          `json:"why,omitempty"`
			} `json:"fields,omitempty"`
			Publish  bool `json:"publish,omitempty"`
			Permit   bool `json:"permit,omitempty"`
			GrowRoot bool `json:"grow_root,omitempty"`
			SetEnv   bool `json:"set_env,omitempty"`
			Resize   bool `json:"resize,omitempty"`
			Mount    bool `json:"mount,omitempty"`
		} `json:"changes"`
	}
	if err := json.Unmarshal(whole.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(doc.Summary, func(_ string, v any) bool { return v == 0.0 })
	var lines strings.Builder
	head := struct {
		Empty    bool           `json:"empty"`
		Refusals []code         `json:"refusals,omitempty"`
		Warnings []code         `json:"warnings,omitempty"`
		Summary  map[string]any `json:"summary"`
	}{doc.Empty, doc.Refusals, doc.Warnings, doc.Summary}
	first, err := json.Marshal(head)
	if err != nil {
		t.Fatal(err)
	}
	lines.Write(append(first, '\n'))
	for _, c := range doc.Changes {
		if c.Action == plan.ActionNone || c.Action == plan.ActionKeep {
			continue
		}
		line, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		lines.Write(append(line, '\n'))
	}
	return lines.String()
}

func load(t testing.TB, text string) *schema.Manifest {
	t.Helper()
	m, list := schema.Load("microagent.yaml", []byte(text), schema.Options{})
	if m == nil {
		t.Fatalf("manifest: %v", list.Err())
	}
	return m
}

type stage struct {
	sim     *sim
	opts    plan.Options
	render  render.Options
	destroy bool
}

func (st *stage) make(m *schema.Manifest) (*plan.Plan, diag.List) {
	w := st.sim.observe(m)
	if st.destroy {
		return plan.Destroy(m.Project, w, st.opts)
	}
	return plan.Make(m, w, st.opts)
}

// happen is one line of a world file.
func (st *stage) happen(t *testing.T, f []string) {
	if len(f) == 0 {
		return
	}
	s := st.sim
	arg := func(i int) string {
		if i >= len(f) {
			t.Fatalf("world: %v lacks an argument", f)
		}
		return f[i]
	}
	onWorkspace := func(change func(ws *observed.Workspace)) {
		name := arg(1)
		ws, ok := s.workspaces[name]
		if !ok {
			t.Fatalf("world: no workspace %s", name)
		}
		change(&ws)
		s.workspaces[name] = ws
	}
	end := func(phase spec.Phase) func(ws *observed.Workspace) {
		return func(ws *observed.Workspace) {
			s.stop(ws)
			run := *ws.Run
			run.Phase, run.Stopped, run.ExitCode = phase, false, nil
			ws.Run = &run
		}
	}
	switch f[0] {
	case "halt":
		onWorkspace(s.stop)
	case "lose":
		onWorkspace(end("lost"))
	case "crash":
		onWorkspace(func(ws *observed.Workspace) {
			end("failed")(ws)
			ws.Run.Error = "kernel panic"
		})
	case "exit":
		onWorkspace(func(ws *observed.Workspace) {
			code, _ := strconv.Atoi(arg(2))
			end("finished")(ws)
			ws.Run.ExitCode = &code
		})
	case "under-way": // the task of its newest run has not ended
		onWorkspace(func(ws *observed.Workspace) {
			run := *ws.Run
			run.Phase, run.ExitCode, run.Collected = "running", nil, nil
			ws.Run, ws.Running = &run, true
			s.hold(ws.Spec.Name, ws.Spec, true)
		})
	case "backs-off": // it ended by itself, and its supervisor waits to start it again
		onWorkspace(func(ws *observed.Workspace) {
			run := *ws.Run
			run.Phase, run.ExitCode = "starting", nil
			ws.Run, ws.Running, ws.Starting, ws.BacksOff = &run, true, true, true
			s.hold(ws.Spec.Name, ws.Spec, true)
		})
	case "not-ready":
		onWorkspace(func(ws *observed.Workspace) { ws.NotReady = ws.Spec.Ready.Probe() })
	case "by-hand": // a command started the task, and it ended well
		onWorkspace(func(ws *observed.Workspace) { ws.Run.Key = "" })
	case "timed-out":
		onWorkspace(func(ws *observed.Workspace) { ws.Run.TimedOut = true })
	case "never-ran":
		onWorkspace(func(ws *observed.Workspace) { s.stop(ws); ws.Run = nil })
	case "no-rootfs":
		onWorkspace(func(ws *observed.Workspace) { s.stop(ws); ws.RootFSMissing = true })
	case "owner":
		onWorkspace(func(ws *observed.Workspace) { ws.Spec.Project = arg(2) })
	case "old-form":
		onWorkspace(func(ws *observed.Workspace) {
			ws.Spec = observed.WorkspaceSpec{Name: ws.Spec.Name, Project: ws.Spec.Project}
		})
	case "snapshot": // VOLUME:TAG, as large as the volume
		volume, tag, _ := strings.Cut(arg(1), ":")
		s.snapshots[volume] = append(s.snapshots[volume], observed.Snapshot{Tag: tag, Size: s.volumes[volume].Size})
	case "source":
		s.sources[arg(1)] = digestOf(arg(2))
	case "retag":
		s.registry[arg(1)] = digestOf(arg(2))
	case "twin": // another reference for the same image
		s.registry[arg(1)] = s.tag(arg(2))
	case "git-output": // WORKSPACE OUTPUT [PATH]: what its run left has git folders, and PATH was brought with them
		onWorkspace(func(ws *observed.Workspace) {
			got := ws.Run.Collected[arg(2)]
			got.WithGit = digestOf("with git")
			ws.Run.Collected[arg(2)] = got
		})
		if len(f) > 3 {
			s.targets[arg(3)] = digestOf("with git")
		}
	case "--allow-data-loss":
		st.opts.AllowDataLoss = append(st.opts.AllowDataLoss, arg(1))
		s.lossy = st.opts.AllowDataLoss
	case "--allow-git":
		st.opts.AllowGit = true
	case "--net":
		st.opts.Net = f[1]
	case "--allow-net":
		g, err := netrule.ParseGrant(f[1])
		if err != nil {
			t.Fatal(err)
		}
		st.opts.Grants = append(st.opts.Grants, g)
	case "gone-output":
		delete(s.targets, arg(1))
	case "edit-output":
		s.targets[arg(1)] = digestOf("edited")
	case "starting":
		onWorkspace(func(ws *observed.Workspace) {
			run := *ws.Run
			run.Phase = "starting"
			ws.Run, ws.Starting = &run, true
		})
	case "guests-plug": // ROOM [fixed]: all that run take so many more disks; fixed: those that they started with stay in them
		s.room, _ = strconv.Atoi(arg(1))
		s.fixed = len(f) > 2
		for name, ws := range s.workspaces {
			if ws.Running {
				ws.Live = s.live(&ws)
				s.workspaces[name] = ws
			}
		}
	case "guests-resize": // [GROWS]: all that run change their CPUs and memory, memory so many times
		s.grows = 8
		if len(f) > 1 {
			s.grows, _ = strconv.Atoi(f[1])
		}
		s.room = max(s.room, 1)
		for name, ws := range s.workspaces {
			if ws.Running {
				ws.Live = s.live(&ws)
				s.workspaces[name] = ws
			}
		}
	case "vm-has": // NAME CPUS MEMORY, by no command
		onWorkspace(func(ws *observed.Workspace) {
			memory, err := quantity.ParseMemory(arg(3))
			if err != nil {
				t.Fatal(err)
			}
			s.behind(ws, func(vm *spec.VM) { vm.CPUs, _ = strconv.Atoi(arg(2)); vm.Memory = int64(memory) })
		})
	case "vm-no-more": // NAME: memory came as often as it can
		onWorkspace(func(ws *observed.Workspace) { s.behind(ws, func(vm *spec.VM) { vm.Grows = 0 }) })
	case "vm-lacks": // NAME PATH
		onWorkspace(func(ws *observed.Workspace) { s.behind(ws, func(vm *spec.VM) { vm.Lacks = append(vm.Lacks, arg(2)) }) })
	case "vm-foreign": // NAME FILE
		onWorkspace(func(ws *observed.Workspace) {
			s.behind(ws, func(vm *spec.VM) { vm.Foreign = append(vm.Foreign, arg(2)) })
		})
	case "vm-paused": // NAME
		onWorkspace(func(ws *observed.Workspace) { s.behind(ws, func(vm *spec.VM) { vm.Paused = true }) })
	case "unmounted": // its guest has the first of its volumes no more
		onWorkspace(s.unmount)
	case "protect":
		v := s.volumes[arg(1)]
		v.Protected = true
		s.volumes[arg(1)] = v
	case "lost-image":
		v := s.volumes[arg(1)]
		v.Missing = true
		s.volumes[arg(1)] = v
	case "changed-image":
		v := s.volumes[arg(1)]
		v.Changed = strings.Join(f[2:], " ")
		s.volumes[arg(1)] = v
	case "grown-image": // NAME SIZE, by no command
		v := s.volumes[arg(1)]
		size, err := quantity.ParseSize(arg(2))
		if err != nil {
			t.Fatal(err)
		}
		v.Recorded, v.Size = v.Size, int64(size)
		s.volumes[arg(1)] = v
	case "disk-free":
		size, err := quantity.ParseSize(arg(1))
		if err != nil {
			t.Fatal(err)
		}
		s.host.DiskFree = int64(size)
	case "torn": // KIND NAME: its record can't be understood
		why := observed.Broken{Why: "record.json: unexpected end of JSON input"}
		if arg(1) == "volume" {
			s.volumes[arg(2)] = observed.Volume{Project: "counter", Broken: why}
		} else {
			s.workspaces[arg(2)] = observed.Workspace{Spec: observed.WorkspaceSpec{Name: arg(2), Project: "counter"}, Broken: why}
		}
		delete(s.records, arg(1)+"/"+arg(2))
	case "gone-volume":
		delete(s.volumes, arg(1))
	case "volume": // NAME PROJECT|- [HOLDER]
		v := observed.Volume{ID: s.id("volume"), Project: strings.Trim(arg(2), "-"), Size: 1 << 30}
		if len(f) > 3 {
			v.Holder = f[3]
		}
		s.volumes[arg(1)] = v
	case "unrecorded": // NAME [unborn]
		s.volumes[arg(1)] = observed.Volume{Size: 1 << 30, NoRecord: true, Unborn: len(f) > 2}
	case "server": // [ADDR:]HOST:GUEST of the host: a program listens there
		port, err := spec.ParsePort(arg(1))
		if err != nil {
			t.Fatal(err)
		}
		s.servers = append(s.servers, port)
	case "publishes": // NAME PORT: a workspace runs and has it
		port, err := spec.ParsePort(arg(2))
		if err != nil {
			t.Fatal(err)
		}
		w := s.workspaces[arg(1)]
		w.Running, w.Ports = true, append(w.Ports, port)
		s.workspaces[arg(1)] = w
	case "workspace": // an imperative one that runs
		s.workspaces[arg(1)] = observed.Workspace{Spec: observed.WorkspaceSpec{Name: arg(1)}, Running: true}
	case "moving-from": // PROJECT: an apply that makes its objects the project's own was cut short
		s.turnTo("shop")
		s.project.MovingFrom = arg(1)
	case "empty-store":
		s.store = map[string]bool{}
	case "empty-cache":
		s.cache = map[string]bool{}
	case "same-disk":
		s.diskIDs[arg(1)], s.diskIDs[arg(2)] = "8:77", "8:77"
	case "new-disk":
		s.diskIDs[arg(1)] = "8:" + arg(2)
	case "broken":
		s.broken[arg(1)+" "+arg(2)] = strings.Join(f[3:], " ")
	case "missing":
		s.host.Missing = append(s.host.Missing, strings.Join(f[1:], " "))
	case "hardware":
		s.host = spec.Host{VMM: "cloud-hypervisor v53.0.0", Hardware: true, CPUs: 4, Memory: 8 << 30, DiskFree: 100 << 30}
	case "small-host":
		s.host.CPUs, s.host.Memory, s.host.DiskFree = 1, 100<<20, 1<<20
	case "stable":
		s.stable = true
	case "offline":
		s.offline = true
	case "pull":
		s.pull = true
	case "moved":
		s.project = observed.Project{Manifest: arg(1), Moved: true}
	case "moved-gone":
		s.project = observed.Project{Manifest: arg(1)}
	case "--move-here":
		st.opts.MoveHere = true
	case "--overwrite-outputs":
		st.opts.OverwriteOutputs = true
	case "--rerun":
		st.opts.Rerun = append(st.opts.Rerun, arg(1))
	case "--target":
		st.opts.Targets = append(st.opts.Targets, arg(1))
	case "--verbose":
		st.render.Verbose = true
	case "--width":
		st.render.Width, _ = strconv.Atoi(arg(1))
	case "--ascii":
		st.render.ASCII = true
	case "--color":
		st.render.Color = true
	case "destroy":
		st.destroy = true
	default:
		t.Fatalf("world: unknown line %v", f)
	}
}

// checkPlan holds a plan to what is promised of every plan.
func checkPlan(t testing.TB, p *plan.Plan) {
	t.Helper()
	at := map[plan.Address]int{}
	for i := range p.Changes {
		c := &p.Changes[i]
		if _, twice := at[c.Address]; twice {
			t.Errorf("%s is in the plan twice", c.Address)
		}
		at[c.Address] = i
		if c.Address.Kind == plan.KindVolume && c.Action == plan.ActionDelete {
			t.Errorf("%s is deleted", c.Address)
		}
		if c.Danger != plan.DangerNone && c.Warning == "" {
			t.Errorf("%s: danger %s without words", c.Address, c.Danger)
		}
		if !slices.Contains(plan.Operations[c.Address.Kind], c.Action) {
			t.Errorf("%s %s is no operation", c.Action, c.Address)
		}
		if c.Does() && c.Reason == "" {
			t.Errorf("%s %s has no reason", c.Action, c.Address)
		}
		if !c.Does() && len(c.Fields) > 0 {
			t.Errorf("%s %s has fields", c.Action, c.Address)
		}
	}
	circles := len(p.Refusals) > 0
	for i := range p.Changes {
		c := &p.Changes[i]
		for _, dep := range append(c.Needs(), c.DependsOn()...) {
			j, ok := at[dep]
			if !ok || !p.Changes[j].Does() {
				t.Errorf("%s waits for %s, which is not done", c.Address, dep)
			}
			if j >= i && !circles {
				t.Errorf("%s comes before %s, which it waits for", c.Address, dep)
			}
		}
	}
}
