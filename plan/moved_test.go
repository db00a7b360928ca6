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
)

// renamed gives some volumes and workspaces of m, and now and then its project, other names, and says so in moved.
func renamed(r *rand.Rand, m *schema.Manifest, round int) *schema.Manifest {
	n := *m
	n.Moved = slices.Clone(m.Moved)
	to := func(kind, name string) string {
		if r.Intn(2) == 0 {
			return name
		}
		now := fmt.Sprintf("%s%d-%d", kind[:1], round, len(n.Moved))
		one := schema.Moved{To: now}
		switch kind {
		case "volume":
			one.Volume = name
		case "workspace":
			one.Workspace = name
		default:
			one.Project = name
		}
		n.Moved = append(n.Moved, one)
		return now
	}
	n.Project = to("project", m.Project)
	volumes, workspaces := map[string]string{}, map[string]string{}
	n.Volumes, n.Workspaces, n.Outputs = map[string]schema.Volume{}, map[string]schema.Workspace{}, map[string]schema.Output{}
	for _, name := range slices.Sorted(maps.Keys(m.Volumes)) {
		volumes[name] = to("volume", name)
		n.Volumes[volumes[name]] = m.Volumes[name]
	}
	for _, name := range slices.Sorted(maps.Keys(m.Workspaces)) {
		workspaces[name] = to("workspace", name)
	}
	for name, ws := range m.Workspaces {
		mounts, after := map[string]schema.Mount{}, map[string]schema.After{}
		for path, mount := range ws.Mounts {
			if mount.Volume != "" {
				mount.Volume = volumes[mount.Volume]
			}
			mounts[path] = mount
		}
		for first, a := range ws.After {
			after[workspaces[first]] = a
		}
		ws.Mounts, ws.After = mounts, after
		n.Workspaces[workspaces[name]] = ws
	}
	for name, o := range m.Outputs {
		o.From = workspaces[o.From]
		n.Outputs[name] = o
	}
	return &n
}

// identities are what makes each volume and root file system the same, and the newest run of each task.
func (s *sim) identities() []string {
	var list []string
	for _, v := range s.volumes {
		list = append(list, v.ID)
	}
	for _, ws := range s.workspaces {
		id := ws.ID
		if ws.Run != nil && ws.Spec.Mode == "task" {
			id += " " + ws.Run.ID
		}
		list = append(list, id)
	}
	slices.Sort(list)
	return list
}

// TestMovedProperties gives what random worlds have other names, again and again: nothing is made, deleted or run, all keep
// who they are, and what moved says is no change from then on. The sim refuses what two would hold at once on the way.
func TestMovedProperties(t *testing.T) {
	rounds := 600
	if testing.Short() {
		rounds = 150
	}
	moves, stops := 0, 0
	for seed := range rounds {
		r := rand.New(rand.NewSource(int64(seed)))
		s := newSim(t)
		m := randomManifest(r)
		o := plan.Options{Tool: "v0", ManifestPath: "/m.yaml"}
		made := func(what string) *plan.Plan {
			p, list := plan.Make(m, s.observe(m), o)
			if list.Errors() {
				t.Fatalf("seed %d, %s: %v", seed, what, list.Err())
			}
			checkPlan(t, p)
			return p
		}
		p, list := plan.Make(m, s.observe(m), o)
		if list.Errors() {
			continue // waits in a circle
		}
		s.apply(p)
		for step := range 3 {
			before := s.identities()
			m = renamed(r, m, step+1)
			p := made("renamed")
			if again, _ := plan.Make(m, s.observe(m), o); !bytes.Equal(encode(t, p), encode(t, again)) {
				t.Fatalf("seed %d step %d: two plans of one input differ", seed, step)
			}
			for i := range p.Changes {
				switch c := &p.Changes[i]; c.Action {
				case plan.ActionMove:
					moves++
				case plan.ActionCreate, plan.ActionReplace, plan.ActionDelete, plan.ActionRun, plan.ActionPull, plan.ActionBuild:
					t.Errorf("seed %d step %d: %s %s", seed, step, c.Action, c.Address)
				case plan.ActionStart:
					stops++
				}
			}
			s.apply(p)
			if after := s.identities(); !slices.Equal(before, after) {
				t.Errorf("seed %d step %d: %v became %v", seed, step, before, after)
			}
			if p := made("after the apply"); !p.Empty() {
				var b bytes.Buffer
				_ = render.Text(&b, p, render.Options{})
				t.Errorf("seed %d step %d: after the apply:\n%s", seed, step, b.String())
			}
			for name := range s.workspaces {
				if ws := s.workspaces[name]; ws.Spec.Project != m.Project || ws.Spec.Name != name {
					t.Errorf("seed %d step %d: %s is %s of %s", seed, step, name, ws.Spec.Name, ws.Spec.Project)
				}
			}
			if t.Failed() {
				t.Fatalf("seed %d step %d", seed, step)
			}
		}
	}
	t.Logf("%d moves, %d starts", moves, stops)
	if moves == 0 || stops == 0 {
		t.Errorf("%d moves and %d starts: the random manifests miss their aim", moves, stops)
	}
}
