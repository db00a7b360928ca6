package supervise

import (
	"errors"
	"testing"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/guest/proto"
)

// A life's end tells of a reboot, of a crash with the crash itself, and of another error as of a failure.
func TestLifeEnds(t *testing.T) {
	up := time.Now()
	crash := &driver.CrashError{Workspace: "box", Phase: "running", Reason: "kernel panic", Console: []string{"oops"}}
	for _, c := range []struct {
		reboots bool
		err     error
		text    string
	}{
		{true, nil, "use workspace box: the guest rebooted meanwhile"},
		{false, crash, crash.Error()},
		{false, errors.New("write run: no space"), "guest of workspace box failed during running: write run: no space"},
	} {
		l := life{over: make(chan struct{})}
		l.end("box", c.reboots, c.err, driver.Run{Phase: driver.PhaseReady, Ready: &up})
		<-l.over
		if l.why.Error() != c.text {
			t.Errorf("%v", l.why)
		}
	}
}

// A guest of an older agent keeps its environment until it starts again, which is what its user is told to do.
func TestAnOldAgentKeepsItsEnvironment(t *testing.T) {
	s := &supervisor{}
	s.spec.Workspace.Name = "box"
	err := s.agentHasEnv(&proto.Session{})
	if !errors.Is(err, driver.ErrUnsupported) || driver.Next(err) != "microagent halt box" {
		t.Errorf("%v, next %q", err, driver.Next(err))
	}
}
