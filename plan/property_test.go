package plan_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand"
	"slices"
	"testing"

	"microagent/plan"
	"microagent/plan/observed"
	"microagent/plan/render"
	"microagent/schema"
	"microagent/schema/quantity"
	"microagent/schema/spec"
)

// randomManifest makes a manifest that the loader would accept: each volume has one user that writes at a time.
func randomManifest(r *rand.Rand) *schema.Manifest {
	m := &schema.Manifest{
		Project: "p", Volumes: map[string]schema.Volume{}, Bundles: map[string]schema.Bundle{}, Disks: map[string]schema.Disk{},
		Workspaces: map[string]schema.Workspace{}, Outputs: map[string]schema.Output{},
	}
	var free []string
	for i := range r.Intn(4) {
		name := fmt.Sprint("v", i)
		m.Volumes[name] = schema.Volume{Size: 1 << 30, Protected: new(r.Intn(4) == 0)}
		free = append(free, name)
	}
	r.Shuffle(len(free), func(i, j int) { free[i], free[j] = free[j], free[i] })
	for i := range r.Intn(3) {
		m.Bundles[fmt.Sprint("b", i)] = schema.Bundle{Source: fmt.Sprint("./b", i)}
	}
	bundles := slices.Sorted(maps.Keys(m.Bundles))
	for i := range r.Intn(5) {
		name := fmt.Sprint("w", i)
		ws := schema.Workspace{
			Image: fmt.Sprint("image:", r.Intn(3)), CPUs: 1, Memory: 1 << 28, Disk: 1 << 30, Desired: "running", Isolation: "any",
			Mounts: map[string]schema.Mount{},
		}
		switch r.Intn(3) {
		case 0:
			ws.Task = []string{"run", fmt.Sprint(r.Intn(2))}
		case 1:
			ws.Service = []string{"serve", fmt.Sprint(r.Intn(2))}
		}
		if r.Intn(6) == 0 {
			ws.Desired = "stopped"
		}
		if r.Intn(4) == 0 {
			ws.Disk = 1 << 31
		}
		if r.Intn(2) == 0 {
			ws.CPUs, ws.MaxCPUs, ws.MaxMemory = 1+r.Intn(4), 4, 1<<30
			ws.Memory += quantity.Size(r.Intn(3) << 27)
		}
		if r.Intn(3) == 0 {
			ws.Env = map[string]string{"A": fmt.Sprint(r.Intn(2))}
		}
		if len(free) > 0 && r.Intn(2) == 0 {
			ws.Mounts["/v"] = schema.Mount{Volume: free[0]}
			free = free[1:]
		}
		if len(bundles) > 0 && r.Intn(2) == 0 {
			ws.Mounts["/b"] = schema.Mount{Bundle: bundles[r.Intn(len(bundles))], ReadOnly: true}
		}
		m.Workspaces[name] = ws
		if r.Intn(2) == 0 {
			m.Outputs["o-"+name] = schema.Output{From: name, Path: "/out", To: "./" + name, Optional: r.Intn(2) == 0}
		}
	}
	randomOrder(r, m)
	return m
}

// randomOrder puts workspaces after others, lets some that come after a task share a volume with it, and makes bundles of
// outputs.
func randomOrder(r *rand.Rand, m *schema.Manifest) {
	names := slices.Sorted(maps.Keys(m.Workspaces))
	r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	last := map[string]string{} // user of a shared volume
	for i, name := range names {
		ws := m.Workspaces[name]
		ws.After = map[string]schema.After{}
		for _, first := range names[:i] {
			x := m.Workspaces[first]
			if r.Intn(2) == 0 || x.Desired == "stopped" {
				continue
			}
			until := []spec.Until{spec.UntilStarted, spec.UntilReady}[r.Intn(2)]
			if x.Task != nil {
				until = []spec.Until{spec.UntilStarted, spec.UntilCompleted, spec.UntilCompleted}[r.Intn(3)]
			}
			ws.After[first] = schema.After{Until: until}
			if o, ok := m.Outputs["o-"+first]; ok && x.Task != nil && !o.Optional && r.Intn(2) == 0 {
				m.Bundles["m-"+first] = schema.Bundle{Source: "./" + first}
				ws.Mounts["/m-"+first] = schema.Mount{Bundle: "m-" + first, ReadOnly: true}
			}
			if volume := x.Mounts["/s"].Volume; volume != "" && last[volume] == first && until == spec.UntilCompleted && ws.Mounts["/s"].Volume == "" {
				ws.Mounts["/s"] = schema.Mount{Volume: volume, ReadOnly: r.Intn(3) == 0}
			}
		}
		if ws.Mounts["/s"].Volume == "" && r.Intn(2) == 0 {
			m.Volumes["s"+name] = schema.Volume{Size: 1 << 30}
			ws.Mounts["/s"] = schema.Mount{Volume: "s" + name}
		}
		last[ws.Mounts["/s"].Volume] = name
		m.Workspaces[name] = ws
	}
}

// rotated hands every mounted volume on to the next workspace that mounts one.
func rotated(m *schema.Manifest) *schema.Manifest {
	n := *m
	n.Workspaces = maps.Clone(m.Workspaces)
	var users []string
	for _, name := range slices.Sorted(maps.Keys(m.Workspaces)) {
		if m.Workspaces[name].Mounts["/v"].Volume != "" {
			users = append(users, name)
		}
	}
	for i, name := range users {
		ws := m.Workspaces[name]
		ws.Mounts = maps.Clone(ws.Mounts)
		ws.Mounts["/v"] = m.Workspaces[users[(i+1)%len(users)]].Mounts["/v"]
		n.Workspaces[name] = ws
	}
	return &n
}

// disturb lets something happen to the world.
func disturb(r *rand.Rand, s *sim) {
	for _, name := range slices.Sorted(maps.Keys(s.workspaces)) {
		ws := s.workspaces[name]
		switch r.Intn(8) {
		case 0:
			s.stop(&ws)
		case 1:
			if ws.Run != nil {
				s.stop(&ws)
				run := *ws.Run
				run.Phase, run.Stopped = "lost", false
				ws.Run = &run
			}
		case 2:
			s.stop(&ws)
			ws.RootFSMissing = true
		case 3:
			s.unmount(&ws)
		case 4:
			if ws.Live != nil {
				s.behind(&ws, func(vm *spec.VM) { vm.CPUs = 1 + r.Intn(max(1, vm.MaxCPUs)) })
			}
		case 5:
			if ws.Live != nil && r.Intn(4) == 0 {
				s.behind(&ws, func(vm *spec.VM) { vm.Paused = true })
			}
		}
		s.workspaces[name] = ws
	}
	for _, name := range slices.Sorted(maps.Keys(s.targets)) {
		if r.Intn(4) == 0 {
			delete(s.targets, name)
		}
	}
	if r.Intn(3) == 0 {
		s.sources["b0"] = digestOf(r.Int())
	}
	if r.Intn(6) == 0 {
		s.store, s.cache = map[string]bool{}, map[string]bool{}
	}
	s.pull, s.offline = r.Intn(4) == 0, r.Intn(5) == 0
	if s.pull {
		s.registry["image:0"] = digestOf(r.Int())
	}
}

// TestProperties takes random worlds through random manifests. What is promised of plans holds for each, the same
// input gives the same bytes, and after an apply there is nothing to do.
func TestProperties(t *testing.T) {
	rounds := 1500
	if testing.Short() {
		rounds = 300
	}
	circles, deletes, unneeded, turns, remounts, resizes := 0, 0, 0, 0, 0, 0
	for seed := range rounds {
		r := rand.New(rand.NewSource(int64(seed)))
		s := newSim(t)
		s.room, s.fixed, s.grows = seed%4, seed%3 == 0, seed%5
		var last *schema.Manifest
		for step := range 4 {
			m := randomManifest(r)
			switch {
			case last == nil:
			case r.Intn(4) == 0:
				m = rotated(last)
			case r.Intn(2) == 0:
				m = last
			}
			last = m
			s.stable = r.Intn(2) == 0
			o := plan.Options{Tool: "v0", ManifestPath: "/m.yaml"}
			for _, name := range slices.Sorted(maps.Keys(m.Workspaces)) {
				if m.Workspaces[name].Task != nil && r.Intn(4) == 0 {
					o.Rerun = append(o.Rerun, name)
				}
			}
			p, list := plan.Make(m, s.observe(m), o)
			if again, _ := plan.Make(m, s.observe(m), o); !bytes.Equal(encode(t, p), encode(t, again)) {
				t.Fatalf("seed %d step %d: two plans of one input differ", seed, step)
			}
			checkPlan(t, p)
			checkDeletes(t, s.workspaces, p)
			if list.Errors() {
				for _, d := range list.All() {
					if d.Code != plan.CodeCycle && d.Code != plan.CodeEmpty {
						t.Fatalf("seed %d step %d: %s", seed, step, d.Summary)
					}
				}
				circles++
				continue
			}
			for i := range p.Changes {
				if p.Changes[i].Action == plan.ActionDelete {
					deletes++
				}
				if p.Changes[i].Address.Kind == plan.KindTurn {
					turns++
				}
				if p.Changes[i].Mount {
					remounts++
				}
				if p.Changes[i].Resize {
					resizes++
				}
			}
			volumes := len(s.volumes)
			s.apply(p)
			unneeded += s.unneeded
			if len(s.volumes) < volumes {
				t.Fatalf("seed %d step %d: a volume is gone", seed, step)
			}
			s.pull, o.Rerun = false, nil
			if p, list := plan.Make(m, s.observe(m), o); !p.Empty() || list.Errors() {
				var b bytes.Buffer
				_ = render.Text(&b, p, render.Options{})
				t.Fatalf("seed %d step %d: after the apply: %v\n%s", seed, step, list.Err(), b.String())
			}
			if t.Failed() {
				t.Fatalf("seed %d step %d", seed, step)
			}
			if r.Intn(8) == 0 {
				p, list := plan.Destroy("p", s.observe(m), o)
				if list.Errors() {
					t.Fatalf("seed %d step %d: destroy: %v", seed, step, list.Err())
				}
				checkPlan(t, p)
				s.apply(p)
			}
			disturb(r, s)
		}
	}
	t.Logf("%d circles, %d deletes, %d turns, %d changes that were not needed, %d of mounts and %d of sizes that are live", circles, deletes, turns, unneeded, remounts, resizes)
	if circles == 0 || deletes == 0 || circles > rounds || turns == 0 || remounts == 0 || resizes == 0 || unneeded == 0 && !testing.Short() {
		t.Errorf("%d circles, %d deletes, %d turns, %d changes not needed and %d of mounts that are live in %d rounds: the random manifests miss their aim", circles, deletes, turns, unneeded, remounts, rounds)
	}
}

// checkDeletes sees that what is deleted goes before what it was made of.
func checkDeletes(t *testing.T, before map[string]observed.Workspace, p *plan.Plan) {
	at := map[plan.Address]int{}
	for i := range p.Changes {
		if p.Changes[i].Action == plan.ActionDelete {
			at[p.Changes[i].Address] = i
		}
	}
	for a, i := range at {
		if a.Kind != plan.KindWorkspace {
			continue
		}
		for _, m := range before[plan.OnDisk(p.Project, a.Name)].Spec.Mounts {
			if j, ok := at[plan.Address{Kind: plan.KindBundle, Name: m.Name}]; ok && m.Kind == "bundle" && j < i {
				t.Errorf("bundle %s is deleted before %s, which mounts it", m.Name, a)
			}
		}
	}
}

func encode(t testing.TB, p *plan.Plan) []byte {
	t.Helper()
	data, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
