package apply

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"microagent/apply/refresh"
	"microagent/plan"
	"microagent/runtime/driver"
	"microagent/runtime/event"
	"microagent/schema/spec"
)

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// finisher ends each task that an apply waits for and did not start.
type finisher struct{ b *bench }

func (f finisher) Emit(e event.Event) {
	if name, task := strings.CutPrefix(e.Address, "task/"); task && e.Type == event.TypeStart && e.Action == string(plan.ActionWait) {
		f.b.workspaces.Finish("demo."+name, 0)
	}
}

// play plans a scene and applies it as long as l lasts.
func (b *bench) play(s *scene, l *life) *Result {
	b.t.Helper()
	var p *plan.Plan
	if s.destroy {
		w, err := refresh.Project(b.t.Context(), b.drivers, "demo", refresh.Options{})
		b.must(err)
		made, problems := plan.Destroy("demo", w, plan.Options{Tool: "test"})
		b.must(problems.Err())
		p = made
	} else {
		b.write("microagent.yaml", s.manifest)
		b.lossy = s.lossy
		p = b.planWith(s.rerun)
	}
	b.t.Logf("%v", does(p))
	d := b.live(l)
	res, err := Run(b.t.Context(), d, p, b.files, Options{Parallel: 4, Events: finisher{b}})
	b.live(nil)
	if err != nil && !errors.Is(err, errKilled) {
		b.t.Fatal(err)
	}
	if res == nil {
		res = &Result{}
	}
	return res
}

// TestEveryKillConverges kills the process that applies before each of its effects on the world, in every scene of every
// story: the next apply does the rest, and then there is nothing left to do. Each operation there is has to be killed.
func TestEveryKillConverges(t *testing.T) {
	killed := map[string]int{}
	for name, story := range stories {
		for i := range story {
			for effects := 0; ; effects++ {
				l := &life{effects: effects}
				synctest.Test(t, func(t *testing.T) {
					t.Logf("%s, scene %d, killed after %d effects", name, i, effects)
					b := newChain(t, "project: demo\n")
					for j := range i {
						b.settle(&story[j], nil)
					}
					res := b.settle(&story[i], l)
					for _, f := range res.Failed {
						if !errors.Is(f.Err, errKilled) {
							t.Errorf("%s, scene %d, after %d effects: %v", name, i, effects, f.Err)
						}
						killed[string(f.Action)+" "+string(f.Address.Kind)]++
					}
				})
				if t.Failed() {
					t.Fatalf("%s, scene %d, killed after %d effects", name, i, effects)
				}
				if !l.dead {
					break
				}
			}
		}
	}
	for kind, actions := range plan.Operations {
		for _, action := range actions {
			does := (&plan.Change{Action: action}).Does()
			if of := string(action) + " " + string(kind); does && killed[of] == 0 {
				t.Errorf("no story has a %q that is killed", of)
			}
		}
	}
	t.Logf("killed: %v", killed)
}

// settle plays a scene with l, and then to its end.
func (b *bench) settle(s *scene, l *life) *Result {
	b.t.Helper()
	whole := b.drivers
	if s.before != nil {
		s.before(b)
	}
	same := b.ids(slices.Collect(maps.Keys(s.moved)))
	first := b.play(s, l)
	b.t.Logf("done %v failed %v", first.Done, first.Failed)
	b.drivers = whole
	rest := *s
	rest.rerun = nil
	if l != nil && l.dead {
		if res := b.play(&rest, nil); res.Err() != nil || len(res.NotStarted) > 0 {
			b.t.Errorf("the next apply: %v, not started: %v", res.Err(), res.NotStarted)
		}
	} else if first.Err() != nil || len(first.NotStarted) > 0 {
		b.t.Errorf("apply: %v, not started: %v", first.Err(), first.NotStarted)
	}
	if s.destroy {
		if list, err := b.workspaces.List(b.t.Context()); err != nil || len(list) > 0 {
			b.t.Errorf("workspaces are left: %v, %v", list, err)
		}
		return first
	}
	if p := b.planWith(nil); !p.Empty() {
		b.t.Errorf("a further apply would do %v", does(p))
	}
	b.checkTurns()
	for was, id := range same {
		if now := b.ids([]string{s.moved[was]})[s.moved[was]]; now != id {
			b.t.Errorf("%s became %s: %q, and it was %q", was, s.moved[was], now, id)
		}
	}
	return first
}

// ids tell of workspaces and volumes what makes them the same, and of tasks their newest run.
func (b *bench) ids(names []string) map[string]string {
	b.t.Helper()
	list := map[string]string{}
	for _, name := range names {
		if v, err := b.volumes.Get(b.t.Context(), name); err == nil {
			list[name] = v.ID
			continue
		}
		ws, err := b.workspaces.Get(b.t.Context(), name)
		b.must(err)
		list[name] = ws.ID
		if ws.Run != nil && ws.Spec.Process.Mode == spec.ModeTask {
			list[name] += " " + ws.Run.ID
		}
	}
	return list
}

// checkTurns sees that whatever comes after a task's end, and uses a volume that it writes, has run since.
func (b *bench) checkTurns() {
	b.t.Helper()
	list, err := b.workspaces.List(b.t.Context())
	b.must(err)
	number, writes := map[string]int{}, map[string]string{}
	for _, ws := range list {
		if ws.Run != nil {
			var n int
			_, err := fmt.Sscanf(ws.Run.ID, "run-%d", &n)
			b.must(err)
			number[ws.Spec.Name] = n
		}
		for _, m := range ws.Spec.Mounts {
			if m.Kind == driver.MountVolume && !m.ReadOnly {
				writes[ws.Spec.Name] = m.Name
			}
		}
	}
	for _, ws := range list {
		form, err := refresh.Applied(ws.Spec)
		b.must(err)
		for _, a := range form.After {
			first := "demo." + a.Workspace
			if slices.ContainsFunc(ws.Spec.Mounts, func(m driver.Mount) bool { return m.Kind == driver.MountVolume && m.Name == writes[first] }) &&
				number[ws.Spec.Name] < number[first] {
				b.t.Errorf("%s ran before %s, whose volume it reads", ws.Spec.Name, first)
			}
		}
	}
}
