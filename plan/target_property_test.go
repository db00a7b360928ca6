package plan_test

import (
	"bytes"
	"math/rand"
	"slices"
	"testing"

	"microagent/plan"
	"microagent/plan/render"
)

// TestPropertiesOfTargets takes random worlds through plans of --target. What is promised of every plan holds of each, it has
// nothing that the whole plan has not, no volume is deleted, and after it the same targets leave nothing to do; the whole then
// does the rest.
func TestPropertiesOfTargets(t *testing.T) {
	rounds := 600
	if testing.Short() {
		rounds = 150
	}
	parts, deletes := 0, 0
	for seed := range rounds {
		r := rand.New(rand.NewSource(int64(seed)))
		s := newSim(t)
		s.room, s.fixed, s.grows = seed%4, seed%3 == 0, seed%5
		for step := range 4 {
			m := randomManifest(r)
			s.stable = r.Intn(2) == 0
			o := plan.Options{Tool: "v0", ManifestPath: "/m.yaml"}
			whole, list := plan.Make(m, s.observe(m), o)
			if list.Errors() { // a circle, which TestProperties looks at
				continue
			}
			targeted := o
			for range 1 + r.Intn(2) {
				if name := randomTarget(r, whole); name != "" {
					targeted.Targets = append(targeted.Targets, name)
				}
			}
			fail := func(format string, args ...any) {
				t.Helper()
				var b bytes.Buffer
				_ = render.Text(&b, whole, render.Options{})
				t.Fatalf("seed %d step %d, --target %v of:\n%s\n"+format, append([]any{seed, step, targeted.Targets, b.String()}, args...)...)
			}
			part, list := plan.Make(m, s.observe(m), targeted)
			if list.Errors() {
				fail("%v", list.Err())
			}
			if again, _ := plan.Make(m, s.observe(m), targeted); !bytes.Equal(encode(t, part), encode(t, again)) {
				fail("two plans of one input differ")
			}
			checkPlan(t, part)
			checkDeletes(t, s.workspaces, part)
			var gone []string // no target can name it any more
			for i := range part.Changes {
				c := &part.Changes[i]
				if !slices.ContainsFunc(whole.Changes, func(o plan.Change) bool { return o.Address == c.Address && o.Action == c.Action }) {
					fail("%s %s is not in the whole", c.Action, c.Address)
				}
				if c.Action == plan.ActionDelete {
					deletes++
					gone = append(gone, c.Address.String(), c.Address.Name)
				}
			}
			if does(part) < does(whole) {
				parts++
			}
			volumes := len(s.volumes)
			s.apply(part)
			if len(s.volumes) < volumes {
				fail("a volume is gone")
			}
			s.pull = false
			targeted.Targets = slices.DeleteFunc(targeted.Targets, func(name string) bool { return slices.Contains(gone, name) })
			if p, list := plan.Make(m, s.observe(m), targeted); !p.Empty() && len(targeted.Targets) > 0 || list.Errors() {
				var b bytes.Buffer
				_ = render.Text(&b, p, render.Options{})
				fail("after it: %v\n%s", list.Err(), b.String())
			}
			rest, list := plan.Make(m, s.observe(m), o)
			if list.Errors() {
				fail("the rest: %v", list.Err())
			}
			checkPlan(t, rest)
			s.apply(rest)
			if p, list := plan.Make(m, s.observe(m), o); !p.Empty() || list.Errors() || len(s.volumes) < volumes {
				fail("after the rest: %v", list.Err())
			}
			if t.Failed() {
				fail("")
			}
			disturb(r, s)
		}
	}
	t.Logf("%d parts, %d deletes in them", parts, deletes)
	if parts < rounds || deletes < rounds/10 {
		t.Errorf("%d parts and %d deletes in %d rounds: the random targets miss their aim", parts, deletes, rounds)
	}
}

// randomTarget is the name of a workspace or the address of what a manifest has names for, "" where the dice fall on neither.
func randomTarget(r *rand.Rand, p *plan.Plan) string {
	if len(p.Changes) == 0 {
		return ""
	}
	of := p.Changes[r.Intn(len(p.Changes))].Address
	switch {
	case !slices.Contains([]plan.Kind{plan.KindVolume, plan.KindBundle, plan.KindWorkspace, plan.KindTask, plan.KindOutput}, of.Kind):
		return ""
	case of.Kind == plan.KindWorkspace && r.Intn(2) == 0:
		return of.Name
	}
	return of.String()
}

func does(p *plan.Plan) (n int) {
	for i := range p.Changes {
		if p.Changes[i].Does() {
			n++
		}
	}
	return n
}
