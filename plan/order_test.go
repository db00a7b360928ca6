package plan_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand"
	"slices"
	"testing"

	"microagent/plan"
	"microagent/plan/render"
	"microagent/schema"
	"microagent/schema/spec"
)

// dense makes a manifest in which nearly everything comes after something: tasks and services in one or two volumes'
// turns, and bundles that are made of outputs.
func dense(r *rand.Rand) *schema.Manifest {
	m := &schema.Manifest{
		Project: "p", Volumes: map[string]schema.Volume{"v0": {Size: 1 << 30}, "v1": {Size: 1 << 30}},
		Bundles: map[string]schema.Bundle{"b0": {Source: "./b0"}}, Disks: map[string]schema.Disk{},
		Workspaces: map[string]schema.Workspace{}, Outputs: map[string]schema.Output{},
	}
	names := []string{"a", "b", "c", "d", "e", "f", "g"}
	r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	for i, name := range names {
		ws := schema.Workspace{
			Image: "image:0", CPUs: 1, Memory: 1 << 28, Disk: 1 << 30, Desired: "running", Isolation: "any",
			Mounts: map[string]schema.Mount{}, After: map[string]schema.After{},
		}
		if r.Intn(4) == 0 {
			ws.Service = []string{"serve"}
		} else {
			ws.Task = []string{"run"}
			m.Outputs["o-"+name] = schema.Output{From: name, Path: "/out", To: "./" + name}
		}
		if r.Intn(4) == 0 {
			ws.Mounts["/b"] = schema.Mount{Bundle: "b0", ReadOnly: true}
		}
		for _, first := range names[:i] {
			x := m.Workspaces[first]
			switch {
			case x.Task == nil:
				if r.Intn(4) == 0 {
					ws.After[first] = schema.After{Until: []spec.Until{spec.UntilStarted, spec.UntilReady}[r.Intn(2)]}
				}
			case r.Intn(3) == 0:
				ws.After[first] = schema.After{Until: spec.UntilCompleted}
			case r.Intn(3) == 0:
				m.Bundles["m-"+first] = schema.Bundle{Source: "./" + first}
				ws.Mounts["/m-"+first] = schema.Mount{Bundle: "m-" + first, ReadOnly: true}
			}
		}
		m.Workspaces[name] = ws
		for _, volume := range []string{"v0", "v1"} { // if that goes with the order
			if r.Intn(2) == 0 {
				continue
			}
			ws.Mounts["/"+volume] = schema.Mount{Volume: volume, ReadOnly: r.Intn(3) == 0}
			if clash(m, volume) {
				delete(ws.Mounts, "/"+volume)
			}
		}
	}
	return m
}

func clash(m *schema.Manifest, volume string) bool {
	var uses []schema.Use
	for _, name := range slices.Sorted(maps.Keys(m.Workspaces)) {
		if mount, ok := m.Workspaces[name].Mounts["/"+volume]; ok {
			uses = append(uses, schema.Use{Workspace: name, Writes: !mount.ReadOnly})
		}
	}
	return slices.ContainsFunc(m.Order().Turns(uses), func(t schema.Turn) bool { return t.Clash >= 0 })
}

// TestOrderHolds runs tasks of a dense manifest again, changes what they read and leaves some things undone: each plan is
// topological, is done without two kernels on one volume and with nothing before its time, and is followed by an empty one.
func TestOrderHolds(t *testing.T) {
	rounds := 600
	if testing.Short() {
		rounds = 100
	}
	turns, onlyIf, unneeded := 0, 0, 0
	for seed := range rounds {
		r := rand.New(rand.NewSource(int64(seed)))
		s, m := newSim(t), dense(r)
		for step := range 5 {
			o := plan.Options{Tool: "v0", ManifestPath: "/m.yaml"}
			for _, name := range slices.Sorted(maps.Keys(m.Workspaces)) {
				if step > 0 && m.Workspaces[name].Task != nil && r.Intn(6) == 0 {
					o.Rerun = append(o.Rerun, name)
				}
			}
			s.stable = r.Intn(3) > 0
			p, list := plan.Make(m, s.observe(m), o)
			if list.Errors() {
				var b bytes.Buffer
				_ = render.Text(&b, p, render.Options{})
				t.Fatalf("seed %d step %d: %v\n%s", seed, step, list.Err(), b.String())
			}
			checkPlan(t, p)
			for i := range p.Changes {
				if c := &p.Changes[i]; c.Address.Kind == plan.KindTurn {
					turns++
					if len(c.If) > 0 {
						onlyIf++
					}
				}
			}
			s.apply(p)
			unneeded += s.unneeded
			if t.Failed() {
				t.Fatalf("seed %d step %d", seed, step)
			}
			if p, list := plan.Make(m, s.observe(m), plan.Options{Tool: "v0", ManifestPath: "/m.yaml"}); !p.Empty() || list.Errors() {
				var b bytes.Buffer
				_ = render.Text(&b, p, render.Options{})
				t.Fatalf("seed %d step %d: after the apply: %v\n%s", seed, step, list.Err(), b.String())
			}
			disturbOrder(r, s)
		}
	}
	t.Logf("%d turns, %d of them for a cause; %d changes were not needed", turns, onlyIf, unneeded)
	if turns < rounds/10 || onlyIf == 0 || unneeded < rounds/10 {
		t.Errorf("%d turns, %d of them for a cause, %d changes not needed in %d rounds: the random manifests miss their aim", turns, onlyIf, unneeded, rounds)
	}
}

// disturbOrder lets something happen to a world that is as declared.
func disturbOrder(r *rand.Rand, s *sim) {
	for _, name := range slices.Sorted(maps.Keys(s.workspaces)) {
		ws := s.workspaces[name]
		if r.Intn(10) == 0 {
			s.stop(&ws)
		}
		s.workspaces[name] = ws
	}
	for _, path := range slices.Sorted(maps.Keys(s.targets)) {
		if r.Intn(8) == 0 {
			delete(s.targets, path)
		}
	}
	if r.Intn(3) == 0 {
		s.sources["b0"] = digestOf(fmt.Sprint(r.Intn(3)))
	}
	if r.Intn(10) == 0 {
		s.cache = map[string]bool{}
	}
}
