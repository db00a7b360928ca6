package cli

import (
	"strings"
	"testing"
	"time"

	"microagent/runtime/driver"
)

// TestWhatCameAfterALoss: what is told of the run after it is what became of that, also where its turn never came.
func TestWhatCameAfterALoss(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	again := func(phase driver.Phase, lossOf string, r driver.Run) *driver.Run {
		r.ID, r.Phase, r.LossOf, r.Restarts = "next", phase, lossOf, &driver.Restarts{Count: 1, Next: r.Ended}
		r.Ended = nil
		return &r
	}
	for name, c := range map[string]struct {
		l    driver.Loss
		run  *driver.Run
		want string
	}{
		"no restart":                            {driver.Loss{}, &driver.Run{ID: "first", Phase: driver.PhaseFailed, LossOf: "first"}, "it was not started again"},
		"a task":                                {driver.Loss{Task: true}, nil, "its task was not started again"},
		"another runs":                          {driver.Loss{Restarted: true}, again(driver.PhaseRunning, "", driver.Run{}), "it was started again"},
		"another begins":                        {driver.Loss{Restarted: true}, again(driver.PhaseStarting, "first", driver.Run{}), "it was started again"},
		"another waits":                         {driver.Loss{Restarted: true}, again(driver.PhaseStarting, "first", driver.Run{Ended: &at}), "it starts again at 2026-01-02T03:04:05Z"},
		"a stop came first":                     {driver.Loss{Restarted: true}, again(driver.PhaseFinished, "first", driver.Run{Stopped: true}), "it was stopped before it started again"},
		"its supervisor is killed":              {driver.Loss{Restarted: true}, again(driver.PhaseLost, "first", driver.Run{}), "it was not started again"},
		"another, which was stopped, of a task": {driver.Loss{Restarted: true, Task: true}, again(driver.PhaseFinished, "", driver.Run{Stopped: true}), "its task was started again"},
	} {
		c.l.Run = "first"
		if got := lossLines(c.l, c.run)[0]; !strings.HasSuffix(got, "; "+c.want) {
			t.Errorf("%s: %q does not end with %q", name, got, c.want)
		}
	}
}
