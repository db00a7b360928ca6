package spec

// Phase is where a run stands. ready is for idle workspaces and services whose guest answers.
type Phase string

const (
	PhaseStarting Phase = "starting"
	PhaseReady    Phase = "ready"
	PhaseRunning  Phase = "running"  // a task or service process runs
	PhaseFinished Phase = "finished" // the task ended (with any code), or the workspace was stopped
	PhaseFailed   Phase = "failed"   // the guest or VMM failed
	PhaseLost     Phase = "lost"     // the supervisor is gone and left no end
)

// Alive says whether a supervisor is expected behind this phase.
func (p Phase) Alive() bool { return p == PhaseStarting || p == PhaseReady || p == PhaseRunning }
