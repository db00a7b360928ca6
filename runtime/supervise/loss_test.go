package supervise

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"microagent/runtime/driver"
	"microagent/runtime/event"
	"microagent/runtime/layout"
	"microagent/runtime/project"
	"microagent/runtime/supervise/control"
)

// endedBy is a supervisor of a project whose guest was up, and is dead to everybody else: what it leaves, others find.
func endedBy(t *testing.T, w driver.WorkspaceSpec) *supervisor {
	t.Helper()
	s := restarting(t, w)
	s.state = layout.State{Dir: t.TempDir()}
	s.folder = s.state.Workspace(w.Name)
	if err := os.MkdirAll(s.folder.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s.run.Start++
	ready := now()
	s.run.Ready = &ready
	s.stand.begin(w, 0)
	s.stand.once = true
	if err := s.saveRun(); err != nil {
		t.Fatal(err)
	}
	return s
}

// ends are what the history of a project has of ends that cost something, and of restarts.
func ends(t *testing.T, s *supervisor) (lost []string, restarts int) {
	t.Helper()
	err := project.New(s.state, "").Read(t.Context(), s.spec.Workspace.Project, false, func(line []byte) error {
		var e event.Event
		var l driver.Loss
		if err := json.Unmarshal(line, &e); err != nil {
			return err
		}
		if e.Type == event.TypeRestart {
			restarts++
			return nil
		}
		if err := json.Unmarshal(e.Loss, &l); err != nil {
			return err
		}
		if slices.Contains(lost, l.Run) {
			t.Errorf("the end of run %s is told of twice", l.Run)
		}
		lost = append(lost, l.Run)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lost, restarts
}

// doSteps does as many steps of stages, each of which is known when those before it are done. Where all are to be done, there
// must be so many and no more.
func doSteps(t *testing.T, done int, all bool, stages ...func() []func() error) {
	t.Helper()
	for _, stage := range stages {
		if done == 0 && !all {
			return
		}
		steps := stage()
		if all && len(steps) > done {
			t.Fatal("there is a step without a case")
		}
		for _, step := range steps[:min(done, len(steps))] {
			if err := step(); err != nil {
				t.Fatal(err)
			}
			done--
		}
	}
	if done > 0 {
		t.Fatal("there is a case without a step")
	}
}

// TestEveryEndLeavesItsLoss kills a supervisor behind each step from the end of a run to the beginning of the next: what the
// end cost is told of once, and so is what the kill did, however often somebody looks.
func TestEveryEndLeavesItsLoss(t *testing.T) {
	for name, c := range map[string]struct {
		mode driver.Mode
		lost []string // with no step done, and with each
	}{
		"a service, which begins anew": {driver.ModeService, []string{"first", "first next", "first next", "first next", "first next", "first next"}},
		"a task, which does not":       {driver.ModeTask, []string{"first", "first", "first", "first"}},
	} {
		for done := len(c.lost) - 1; done >= 0; done-- {
			synctest.Test(t, func(t *testing.T) {
				s := endedBy(t, driver.WorkspaceSpec{Name: "p.one", Project: "p", Process: driver.Process{Mode: c.mode}})
				end := func() []func() error {
					return []func() error{func() error { _ = s.fail(errors.New("kernel panic")); return nil }}
				}
				next := func() []func() error {
					if s.restarting() {
						return s.turnSteps()
					}
					return nil
				}
				doSteps(t, done, done == len(c.lost)-1, end, s.lossSteps, next)
				for range 2 {
					if err := NoteLost(s.state, s.spec.Workspace, readRun(t, s)); err != nil {
						t.Fatal(err)
					}
				}
				want := strings.Fields(strings.Replace(c.lost[done], "next", readRun(t, s).ID, 1))
				if run := readRun(t, s); run.Waits != "" || run.Restarts != nil && run.Restarts.Next != nil {
					t.Errorf("%s, %d steps: one that is dead waits: %q, %+v", name, done, run.Waits, run.Restarts)
				}
				lost, restarts := ends(t, s)
				if turn := done == len(c.lost)-1 && c.mode == driver.ModeService; !slices.Equal(lost, want) || restarts != map[bool]int{true: 1}[turn] {
					t.Errorf("%s, %d steps: lost %v, not %v, and %d restarts are told of", name, done, lost, want, restarts)
				}
				kept, shown, err := control.ReadLoss(s.folder)
				if err != nil || shown || kept == nil || kept.Run != want[len(want)-1] || kept.At.IsZero() {
					t.Fatalf("%s, %d steps: %+v, %v", name, done, kept, err)
				}
				if ended := "kernel panic"; done > 0 && len(want) == 1 && kept.Why != ended {
					t.Errorf("%s, %d steps: it ended because of %q, not %q", name, done, kept.Why, ended)
				}
			})
		}
	}
}

// TestWhatCostsNothing: a stop, an end before the guest was up, and a task that ended by itself leave no loss.
func TestWhatCostsNothing(t *testing.T) {
	ready := now()
	for name, c := range map[string]struct {
		mode  driver.Mode
		ended driver.Run
		costs bool
	}{
		"a crash":          {driver.ModeService, driver.Run{Ready: &ready, Phase: driver.PhaseFailed}, true},
		"a service's end":  {driver.ModeService, driver.Run{Ready: &ready, Phase: driver.PhaseFinished}, true},
		"a stop":           {driver.ModeService, driver.Run{Ready: &ready, Phase: driver.PhaseFinished, Stopped: true}, false},
		"no boot":          {driver.ModeService, driver.Run{Phase: driver.PhaseFailed}, false},
		"a task's end":     {driver.ModeTask, driver.Run{Ready: &ready, Phase: driver.PhaseFinished}, false},
		"a task's failure": {driver.ModeTask, driver.Run{Ready: &ready, Phase: driver.PhaseFailed}, true},
	} {
		if got := costs(driver.WorkspaceSpec{Process: driver.Process{Mode: c.mode}}, c.ended); got != c.costs {
			t.Errorf("%s costs something: %v", name, got)
		}
	}
}
