package supervise

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/lease"
	"microagent/runtime/supervise/control"
	"microagent/schema/spec"
)

func TestBackOff(t *testing.T) {
	var b backOff
	var got []time.Duration
	for range 9 {
		got = append(got, b.next(0))
	}
	want := []time.Duration{0, 1, 2, 4, 8, 16, 32, 60, 60}
	for i := range want {
		if got[i] != want[i]*time.Second {
			t.Fatalf("%v, not %v seconds", got, want)
		}
	}
	if d := b.next(59 * time.Second); d != time.Minute {
		t.Errorf("after 59 s ready: %s", d)
	}
	if d := b.next(time.Minute); d != 0 {
		t.Errorf("after a minute ready: %s", d)
	}
	if d := b.next(0); d != time.Second {
		t.Errorf("after that: %s", d)
	}
}

func TestMayRestart(t *testing.T) {
	code := func(n int) *int { return &n }
	ends := map[string]driver.Run{
		"exit 0": {Phase: driver.PhaseFinished, ExitCode: code(0)}, "exit 1": {Phase: driver.PhaseFinished, ExitCode: code(1)},
		"exit 127": {Phase: driver.PhaseFinished, ExitCode: code(127)}, "crash": {Phase: driver.PhaseFailed},
		"power off": {Phase: driver.PhaseFinished}, "stopped": {Phase: driver.PhaseFinished, Stopped: true, ExitCode: code(143)},
	}
	for _, c := range []struct {
		mode   driver.Mode
		policy spec.Restart
		again  []string
	}{
		{driver.ModeService, "", []string{"exit 1", "exit 127", "crash"}},
		{driver.ModeService, spec.RestartOnFailure, []string{"exit 1", "exit 127", "crash"}},
		{driver.ModeService, spec.RestartNever, nil},
		{driver.ModeService, spec.RestartAlways, []string{"exit 0", "exit 1", "exit 127", "crash", "power off"}},
		{driver.ModeIdle, "", nil},
		{driver.ModeIdle, spec.RestartOnFailure, []string{"crash"}},
		{driver.ModeIdle, spec.RestartAlways, []string{"crash", "power off"}},
		{driver.ModeTask, "", nil},
		{driver.ModeTask, spec.RestartOnFailure, []string{"exit 1", "crash"}},
		{driver.ModeTask, spec.RestartAlways, []string{"exit 1", "crash"}}, // which no manifest can say
	} {
		w := driver.WorkspaceSpec{Process: driver.Process{Mode: c.mode}, Restart: c.policy}
		for name, ended := range ends {
			if c.mode == driver.ModeIdle && ended.ExitCode != nil && !ended.Stopped {
				continue
			}
			if got, want := mayRestart(w, ended, true), slices.Contains(c.again, name); got != want {
				t.Errorf("a %s with %q that ended with %s restarts: %v", c.mode, c.policy, name, got)
			}
			if mayRestart(w, ended, false) {
				t.Errorf("a %s with %q that was never ready restarts", c.mode, c.policy)
			}
		}
	}
}

func restarting(t *testing.T, w driver.WorkspaceSpec) *supervisor {
	t.Helper()
	self, err := lease.Self()
	if err != nil {
		t.Fatal(err)
	}
	return &supervisor{
		folder: workspace(t), log: slog.New(slog.NewTextHandler(io.Discard, nil)), stop: make(chan struct{}), ended: make(chan struct{}),
		spec: Spec{Workspace: w}, run: driver.Run{ID: "first", Phase: driver.PhaseRunning, PID: self.PID, BootID: self.BootID, Start: self.Start},
	}
}

// TestBackOffOfRuns lives through crashes by the test's own clock: run.json shows the next try while it is waited for.
func TestBackOffOfRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := driver.WorkspaceSpec{Name: "one", Process: driver.Process{Mode: driver.ModeService}}
		s := restarting(t, w)
		ids := map[string]bool{}
		for i, want := range []time.Duration{0, 1, 2, 4, 8, 16, 32, 60, 60} {
			s.stand.begin(w, 0)
			time.Sleep(time.Second)
			began := time.Now()
			_ = s.fail(errors.New("crash"))
			shown := readRun(t, s)
			if ids[shown.ID] || shown.Phase != driver.PhaseStarting || shown.Restarts.Count != i+1 || shown.Restarts.Why != "crash" ||
				shown.BacksOff() != (want > 0) {
				t.Fatalf("restart %d: %+v, %+v", i, shown, shown.Restarts)
			}
			ids[shown.ID] = true
			if again, err := s.awaitTurn(); err != nil || !again {
				t.Fatal(again, err)
			}
			if took := time.Since(began); took != want*time.Second {
				t.Errorf("restart %d after %s, not %d s", i, took, want)
			}
			if shown = readRun(t, s); shown.BacksOff() || shown.Waits != "" {
				t.Errorf("restart %d: %+v after its turn", i, shown)
			}
		}
		s.stand.begin(w, 0)
		time.Sleep(time.Minute)
		_ = s.fail(errors.New("crash"))
		if shown := readRun(t, s); shown.BacksOff() {
			t.Errorf("a minute of being ready does not make the next restart the first: %+v", shown.Restarts)
		}
	})
}

// TestReadinessOfWhatEnded: a probe that is late says nothing of the run that begins in the place of its own.
func TestReadinessOfWhatEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := driver.WorkspaceSpec{Name: "one", Process: driver.Process{Mode: driver.ModeService}, Ready: &spec.Ready{Port: 80}}
		s := restarting(t, w)
		s.stand.begin(w, 0)
		s.setReadiness(driver.Readiness{State: driver.ReadyYes}, true)
		if shown := readRun(t, s); shown.Readiness == nil || shown.Readiness.State != driver.ReadyYes {
			t.Fatalf("%+v", shown)
		}
		time.Sleep(time.Second)
		_ = s.fail(errors.New("crash"))
		for _, changed := range []bool{false, true} {
			s.setReadiness(driver.Readiness{State: driver.ReadyYes}, changed)
			if run := s.snapshot(); run.ID == "first" || run.Readiness != nil || s.stand.since.After(time.Now().Add(-time.Second)) {
				t.Errorf("changed %v: %+v, ready since %s", changed, run.Readiness, s.stand.since)
			}
		}
	})
}

// TestReadinessOfWhatStops: a stop that was asked for is not told of as a loss.
func TestReadinessOfWhatStops(t *testing.T) {
	w := driver.WorkspaceSpec{Name: "one", Process: driver.Process{Mode: driver.ModeService}, Ready: &spec.Ready{Port: 80}}
	s := restarting(t, w)
	s.setReadiness(driver.Readiness{State: driver.ReadyYes}, true)
	s.requestStop(stopRequest{})
	defer s.stopTheClock()
	for _, changed := range []bool{false, true} {
		s.setReadiness(driver.Readiness{State: driver.ReadyLost, Words: "nothing listens"}, changed)
		if now := readRun(t, s).Readiness; now.State != driver.ReadyYes || now.Words != "" {
			t.Errorf("%+v", now)
		}
	}
}

// TestStopInBackOff: it ends at once, whatever is left of the pause, and an exec meanwhile says when the guest comes back.
func TestStopInBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := driver.WorkspaceSpec{Name: "one", Process: driver.Process{Mode: driver.ModeService}}
		s := restarting(t, w)
		s.stand.once, s.pause = true, backOff{restarted: true, pause: 30 * time.Second}
		_ = s.fail(errors.New("crash"))
		if err := (calls{s}).Ping(t.Context()); !errors.Is(err, driver.ErrRefused) {
			t.Error(err)
		}
		began := time.Now()
		go func() {
			time.Sleep(7 * time.Second)
			s.requestStop(stopRequest{})
		}()
		again, err := s.awaitTurn()
		s.stopTheClock()
		shown := readRun(t, s)
		if again || err != nil || time.Since(began) != 7*time.Second || shown.Phase != driver.PhaseFinished || !shown.Stopped || shown.Waits != "" || shown.Restarts.Next != nil {
			t.Errorf("%v, %v after %s: %+v", again, err, time.Since(began), shown)
		}
	})
}

func readRun(t *testing.T, s *supervisor) driver.Run {
	t.Helper()
	run, err := control.ReadRun(s.folder)
	if err != nil || run == nil {
		t.Fatal(run, err)
	}
	return *run
}

// FuzzRestarts drives the end of runs by whatever comes: after a stop nothing begins anew, what begins has another id
// and was ready once, and run.json never has an end while a run goes on.
func FuzzRestarts(f *testing.F) {
	f.Add([]byte{0, 1, 3, 0, 3, 3, 5, 3}, uint8(0))
	f.Add([]byte{3, 4}, uint8(1))
	f.Add([]byte{0, 5, 1, 3}, uint8(7))
	f.Fuzz(func(t *testing.T, moves []byte, kind uint8) {
		mode := []driver.Mode{driver.ModeService, driver.ModeIdle, driver.ModeTask}[kind%3]
		policy := []spec.Restart{"", spec.RestartNever, spec.RestartOnFailure, spec.RestartAlways}[kind/3%4]
		w := driver.WorkspaceSpec{Name: "one", Process: driver.Process{Mode: mode}, Restart: policy}
		if kind >= 128 && mode != driver.ModeTask {
			w.Ready = &spec.Ready{Port: 1}
		}
		s := restarting(t, w)
		ready, stopped := false, false
		for i, m := range moves[:min(len(moves), 64)] {
			before := s.run.ID
			code := int(m >> 4)
			var err error
			switch m % 6 {
			case 0: // up
				s.stand.begin(w, 0)
				if w.Ready == nil && mode != driver.ModeService {
					ready = true
				}
				continue
			case 1:
				s.stand.take(driver.ReadyYes)
				ready = true
				continue
			case 2:
				s.stand.take(driver.ReadyLost)
				continue
			case 3:
				err = s.conclude(func(r *driver.Run) { r.Phase, r.ExitCode = driver.PhaseFinished, &code })
			case 4:
				err = s.conclude(func(r *driver.Run) { r.Phase, r.Error = driver.PhaseFailed, "crash" })
			case 5:
				s.requestStop(stopRequest{})
				s.stopTheClock()
				stopped = true
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			run := s.snapshot()
			again := s.restarting()
			at := fmt.Sprintf("move %d (%d) of a %s with %q: %+v", i, m, mode, policy, run)
			switch {
			case again && (stopped || !ready || policy == spec.RestartNever):
				t.Fatal("restarts", at)
			case again && (run.ID == before || !run.Phase.Alive() || run.Ended != nil || run.ExitCode != nil || run.Restarts == nil):
				t.Fatal("is no beginning", at)
			case !again && (run.ID != before || run.Phase.Alive() || run.Ended == nil):
				t.Fatal("is no end", at)
			}
			if !again {
				return
			}
			s.last, s.stand = nil, standing{once: s.stand.once}
		}
	})
}
