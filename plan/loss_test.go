package plan_test

import (
	"maps"
	"math/rand"
	"slices"
	"testing"

	"microagent/plan"
	"microagent/schema"
)

// TestLossProperties lets volumes of random worlds shrink or lose their image, and has some of them given up by name: a volume
// that is protected, or that nobody named, is never given up, and refuses the plan; what was given up is made anew, and
// nothing else; then there is nothing to do. Before that what was kept of some workspaces is brought back.
func TestLossProperties(t *testing.T) {
	rounds := 600
	if testing.Short() {
		rounds = 150
	}
	given, refused, restored := 0, 0, 0
	for seed := range rounds {
		r := rand.New(rand.NewSource(int64(seed)))
		s := newSim(t)
		m := randomManifest(r)
		o := plan.Options{Tool: "v0", ManifestPath: "/m.yaml"}
		p, list := plan.Make(m, s.observe(m), o)
		if list.Errors() {
			continue // waits in a circle
		}
		s.apply(p)
		for _, name := range slices.Sorted(maps.Keys(s.workspaces)) {
			if ws := s.workspaces[name]; r.Intn(3) == 0 { // of another image, with another root file system, and down
				s.stop(&ws)
				ws.ID, ws.Run, ws.Spec.Image, ws.Spec.ImageDigest = s.id("rootfs"), nil, "image:before", digestOf("before")
				s.workspaces[name] = ws
				s.write("workspace", name)
				restored++
			}
		}
		named := map[string]bool{}
		lost := map[string]string{} // id before, by name in the manifest
		next := *m
		next.Volumes = map[string]schema.Volume{}
		for _, name := range slices.Sorted(maps.Keys(m.Volumes)) {
			v, disk := m.Volumes[name], plan.OnDisk("p", name)
			have := s.volumes[disk]
			switch r.Intn(4) {
			case 0:
				v.Size /= 2
				lost[name] = have.ID
			case 1:
				have.Missing = true
				s.volumes[disk] = have
				lost[name] = have.ID
			}
			if v.Protected = nil; r.Intn(2) == 0 {
				named[name] = true
				o.AllowDataLoss = append(o.AllowDataLoss, "volume/"+name)
			}
			next.Volumes[name] = v
		}
		s.lossy = o.AllowDataLoss
		before := maps.Clone(s.volumes)
		p, list = plan.Make(&next, s.observe(&next), o)
		checkPlan(t, p)
		want := 0
		for name := range lost {
			if !named[name] || before[plan.OnDisk("p", name)].Protected {
				want++
			}
		}
		got := 0
		for _, d := range list.All() {
			if d.Code == plan.CodeVolumeShrinks || d.Code == plan.CodeVolumeDrifted {
				got++
			}
		}
		if got != want {
			t.Fatalf("seed %d: %d volumes are refused, not %d: %v", seed, got, want, list.Err())
		}
		if refused += got; list.Errors() {
			continue
		}
		s.apply(p)
		for disk, was := range before {
			name := disk[len("p."):]
			if _, gone := lost[name]; gone == (s.volumes[disk].ID == was.ID) {
				t.Errorf("seed %d: volume %s: %s, and before %s", seed, name, s.volumes[disk].ID, was.ID)
			}
		}
		given += len(lost)
		o.AllowDataLoss = nil
		if p, list := plan.Make(&next, s.observe(&next), o); !p.Empty() || list.Errors() {
			t.Fatalf("seed %d: after the apply: %v, %v", seed, list.Err(), p.Changes)
		}
	}
	t.Logf("%d given up, %d refused, %d restored", given, refused, restored)
	if given == 0 || refused == 0 || restored == 0 {
		t.Errorf("%d given up, %d refused, %d restored: the random worlds miss their aim", given, refused, restored)
	}
}
