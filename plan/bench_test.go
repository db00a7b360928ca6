package plan_test

import (
	"fmt"
	"testing"

	"microagent/plan"
	"microagent/plan/observed"
	"microagent/schema"
	"microagent/schema/spec"
)

// large makes a manifest of n resources, a quarter each of volumes, bundles, workspaces and outputs, and a world in
// which half of them are there and changed, and as many others are to be removed.
func large(n int) (*schema.Manifest, *observed.World) {
	m := &schema.Manifest{
		Project: "p", Volumes: map[string]schema.Volume{}, Bundles: map[string]schema.Bundle{}, Disks: map[string]schema.Disk{},
		Workspaces: map[string]schema.Workspace{}, Outputs: map[string]schema.Output{},
	}
	w := &observed.World{
		Volumes: map[string]observed.Volume{}, Workspaces: map[string]observed.Workspace{}, Bundles: map[string]observed.Bundle{},
		Sources: map[string]observed.Source{}, Images: map[string]observed.Image{}, Outputs: map[string]observed.Output{},
		Records: map[string]string{}, Host: spec.Host{VMM: "qemu"},
	}
	for i := range n / 4 {
		name := fmt.Sprint("x", i)
		m.Volumes[name] = schema.Volume{Size: 1 << 30}
		m.Bundles[name] = schema.Bundle{Source: "./" + name}
		m.Workspaces[name] = schema.Workspace{
			Image: fmt.Sprint("image:", i), CPUs: 1, Memory: 1 << 28, Disk: 1 << 30, Task: []string{"run"}, Desired: "running",
			Isolation: "any", Guest: spec.Guest{Env: map[string]string{"A": "1", "B": "2"}},
			Mounts: map[string]schema.Mount{"/v": {Volume: name}, "/b": {Bundle: name, ReadOnly: true}},
		}
		m.Outputs[name] = schema.Output{From: name, Path: "/out", To: "./" + name}
		w.Sources[name] = observed.Source{Digest: "sha256:" + name}
		w.Images[fmt.Sprint("image:", i)] = observed.Image{Ref: fmt.Sprint("image:", i), Digest: "sha256:1"}
		w.Outputs[name] = observed.Output{}
		there := name
		if i%2 == 1 {
			there = "old" + name
		}
		w.Volumes["p."+there] = observed.Volume{ID: "v", Project: "p", Size: 1 << 29}
		w.Bundles["p."+there] = observed.Bundle{Project: "p", Digest: "sha256:0"}
		w.Workspaces["p."+there] = observed.Workspace{ID: "r", Spec: observed.WorkspaceSpec{
			Name: "p." + there, Project: "p", Image: fmt.Sprint("image:", i), ImageDigest: "sha256:1", Mode: "task", Desired: "running",
			Mounts: []spec.Mount{{Path: "/b", Kind: "bundle", Name: there, Source: "sha256:0"}, {Path: "/v", Kind: "volume", Name: "p." + there, Source: "v"}},
		}}
	}
	return m, w
}

func BenchmarkMake(b *testing.B) {
	for _, n := range []int{100, 1000, 5000} {
		m, w := large(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, list := plan.Make(m, w, plan.Options{}); list.Errors() {
					b.Fatal(list.Err())
				}
			}
		})
	}
}

// TestGrowth holds the planner to growing with its input: four times the resources may take six times the allocations.
func TestGrowth(t *testing.T) {
	measure := func(n int) float64 {
		m, w := large(n)
		return testing.AllocsPerRun(1, func() { plan.Make(m, w, plan.Options{}) })
	}
	small, big := measure(500), measure(2000)
	if ratio := big / small; ratio > 6 {
		t.Errorf("%.0f allocations, %.0f for four times the input: %.1f times as many", small, big, ratio)
	}
}
