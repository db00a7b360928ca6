package plan_test

import (
	"strconv"
	"strings"
	"testing"

	"microagent/plan"
	"microagent/plan/observed"
	"microagent/plan/render"
	"microagent/schema"
	"microagent/schema/diag"
	"microagent/schema/netrule"
	"microagent/schema/quantity"
	"microagent/schema/spec"
)

// stage is where a golden plays: a simulated world, and how plans are made and shown in it.
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
	case "grown": // NAME SIZE, by a command
		v := s.volumes[arg(1)]
		size, err := quantity.ParseSize(arg(2))
		if err != nil {
			t.Fatal(err)
		}
		v.Declared, v.Size, v.Recorded = v.Size, int64(size), int64(size)
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
