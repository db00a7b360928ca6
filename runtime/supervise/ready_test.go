package supervise

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/supervise/control"
	"microagent/schema/spec"
)

// TestReadyJudgesAnew: what was given up before somebody asked is given up again only when as many probes have failed since,
// at once when no probe can be made any more, and is ready with the first that passes.
func TestReadyJudgesAnew(t *testing.T) {
	for name, c := range map[string]struct {
		then func(s *supervisor, count func(int, bool))
		left bool // it is waited for still
		ok   bool
	}{
		"nothing yet":         {func(*supervisor, func(int, bool)) {}, true, false},
		"fails twice":         {func(_ *supervisor, count func(int, bool)) { count(4, false); count(5, false) }, true, false},
		"fails as often":      {func(_ *supervisor, count func(int, bool)) { count(6, false) }, false, false},
		"no more can be made": {func(_ *supervisor, count func(int, bool)) { count(0, true) }, false, false},
		"passes": {func(s *supervisor, _ func(int, bool)) {
			s.setReadiness(driver.Readiness{Probe: "port 80", State: driver.ReadyYes}, true)
		}, false, true},
		"in the next boot": {func(s *supervisor, _ func(int, bool)) {
			next := s.countProbes()
			next(2, false)
			next(3, false)
		}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := restarting(t, driver.WorkspaceSpec{Name: "one", Ready: &spec.Ready{Port: 80, Failures: 3}})
				count := s.countProbes()
				asked := make(chan error, 2)
				ask := func() {
					_, err := calls{s}.Ready(t.Context())
					asked <- err
				}
				go ask()
				synctest.Wait()
				s.setReadiness(driver.Readiness{Probe: "port 80", State: driver.ReadyNever, Words: "nothing listens"}, true)
				count(3, false)
				if err := <-asked; !isNotReady(err) {
					t.Fatalf("who asked before it was given up heard %v", err)
				}
				go ask()
				synctest.Wait()
				c.then(s, count)
				synctest.Wait()
				select {
				case err := <-asked:
					if c.left || c.ok != (err == nil) || err != nil && !isNotReady(err) {
						t.Errorf("it ended with %v", err)
					}
				default:
					if !c.left {
						t.Error("it is waited for still")
					}
				}
				s.mu.Lock()
				s.run.Phase = driver.PhaseFinished // who waits ends
				s.moved.ring()
				s.mu.Unlock()
			})
		})
	}
}

func isNotReady(err error) bool {
	_, ok := errors.AsType[*driver.NotReadyError](err)
	return ok
}

// flood is a stream on which a guest tells something else all the time.
type flood struct{ up bool }

func (f *flood) Next() (bool, error) {
	f.up = !f.up
	return f.up, nil
}

func (*flood) Close() error { return nil }

// TestAGuestTellsNoMoreThanSoMuch in a time, whatever it does, and what it tells first comes at once.
func TestAGuestTellsNoMoreThanSoMuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		ctx, cancel := context.WithDeadline(t.Context(), began.Add(time.Second))
		defer cancel()
		n, most := 0, int(time.Second/tellPause)+1
		for range told(ctx, func(error) {}, func() (*flood, error) { return &flood{}, nil }, func(up bool) bool { return up }) {
			if n++; n == 1 && time.Since(began) != 0 {
				t.Errorf("the first is told after %s", time.Since(began))
			}
			if n == most+1 {
				t.Errorf("more than %d changes were told within %s", most, time.Since(began))
				cancel()
			}
		}
	})
}

// TestFirstFailureIsRecorded, also while that is no change yet: status reads the record.
func TestFirstFailureIsRecorded(t *testing.T) {
	s := restarting(t, driver.WorkspaceSpec{Name: "one", Ready: &spec.Ready{Port: 80, Failures: 3}})
	s.setReadiness(driver.Readiness{Probe: "port 80", State: driver.ReadyWaiting}, true)
	for _, words := range []string{"nothing listens", "still nothing", ""} {
		s.setReadiness(driver.Readiness{Probe: "port 80", State: driver.ReadyWaiting, Words: words}, false)
		run, err := control.ReadRun(s.folder)
		if err != nil || run == nil || run.Readiness == nil || run.Readiness.Words != words {
			t.Errorf("%q: %+v, %v", words, run, err)
		}
	}
}
