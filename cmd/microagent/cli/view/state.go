package view

import (
	"strconv"
	"time"

	"microagent/runtime/driver"
	"microagent/schema/spec"
)

// State is a workspace's state in a word, with the exit code of what ended.
func State(ws driver.Workspace) string {
	switch {
	case ws.RootFSMissing:
		return "drifted"
	case ws.Run == nil:
		return "created"
	case ws.Silent:
		return "silent"
	case ws.Run.BacksOff():
		return "back-off(" + max(0, time.Until(*ws.Run.Restarts.Next)).Round(time.Second).String() + ")"
	case ws.Run.Phase.Alive() && ws.Run.Phase != spec.PhaseStarting && ws.Run.Readiness != nil:
		return readiness(*ws.Run.Readiness)
	case ws.Run.Phase == spec.PhaseFinished && ws.Run.Stopped:
		return "stopped"
	case ws.Run.Phase == spec.PhaseFinished && ws.Run.ExitCode != nil:
		return "exited(" + strconv.Itoa(*ws.Run.ExitCode) + ")"
	}
	return string(ws.Run.Phase)
}

// readiness is the state of a workspace that runs and has a probe.
func readiness(r driver.Readiness) string {
	switch r.State {
	case driver.ReadyYes:
		return "ready"
	case driver.ReadyWaiting:
		return "waiting"
	}
	return "not-ready"
}
