package control

import (
	"errors"
	"testing"
	"time"

	"microagent/runtime/driver"
)

// What a call is told whose workspace ended under it, by how its run stands.
func TestEndedDuringCall(t *testing.T) {
	up := time.Now()
	for _, c := range []struct {
		run   driver.Run
		text  string
		next  string
		class error
	}{
		{driver.Run{Phase: driver.PhaseFinished}, "use workspace box: it ended meanwhile", "microagent status box", driver.ErrUnavailable},
		{driver.Run{}, "use workspace box: it ended meanwhile", "microagent status box", driver.ErrUnavailable},
		{driver.Run{Phase: driver.PhaseFinished, Stopped: true}, "use workspace box: it was stopped meanwhile", "microagent start box", driver.ErrUnavailable},
		{driver.Run{Phase: driver.PhaseLost}, "use workspace box: its supervisor was killed meanwhile", "microagent start box", driver.ErrUnavailable},
		{driver.Run{Phase: driver.PhaseReady}, "use workspace box: its supervisor was killed meanwhile", "microagent start box", driver.ErrUnavailable},
		{driver.Run{Phase: driver.PhaseFailed, Ready: &up, Error: "kernel panic"}, "guest of workspace box failed during running: kernel panic", "microagent logs --console box", driver.ErrGuest},
		{driver.Run{Phase: driver.PhaseFailed, Error: "no agent"}, "guest of workspace box failed during boot: no agent", "microagent logs --console box", driver.ErrGuest},
	} {
		err := EndedDuringCall("box", c.run)
		if err.Error() != c.text || driver.Next(err) != c.next || !errors.Is(err, c.class) {
			t.Errorf("%+v: %v, next %q", c.run, err, driver.Next(err))
		}
	}
}
