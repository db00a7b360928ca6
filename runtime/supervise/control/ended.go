package control

import (
	"errors"

	"microagent/runtime/driver"
)

// EndedDuringCall is the error of a call to a workspace's guest during which the run ended: a *driver.CrashError of a guest
// that failed, and else a *driver.Error of class ErrUnavailable.
func EndedDuringCall(workspace string, run driver.Run) error {
	switch {
	case run.Phase == driver.PhaseFailed:
		return run.Crash(workspace)
	case run.Stopped:
		return broke(workspace, "it was stopped meanwhile", "microagent start ")
	case run.Phase == driver.PhaseLost, run.Phase.Alive(): // the latter while it is dying
		return broke(workspace, "its supervisor was killed meanwhile", "microagent start ")
	}
	return broke(workspace, "it ended meanwhile", "microagent status ")
}

// RebootedDuringCall is EndedDuringCall of a guest that reboots.
func RebootedDuringCall(workspace string) error {
	return broke(workspace, "the guest rebooted meanwhile", "microagent logs --console ")
}

func broke(workspace, why, next string) error {
	return &driver.Error{Class: driver.ErrUnavailable, Op: "use workspace", Object: workspace, Err: errors.New(why), Next: next + workspace}
}
