package driver

import "time"

// ReadyState is what a run's probe says of it.
type ReadyState string

// The states. A run that was never ready or is so no more becomes ready with the next probe that passes.
const (
	ReadyWaiting ReadyState = "waiting" // it has not passed yet
	ReadyYes     ReadyState = "ready"
	ReadyNever   ReadyState = "never" // it has not passed, and that for too long
	ReadyLost    ReadyState = "lost"  // it passed, and does so no more
)

// Readiness is how a run stands that has a probe.
type Readiness struct {
	Probe string     `json:"probe"` // "port 8080": see spec.Ready.Probe
	State ReadyState `json:"state"`
	Since time.Time  `json:"since"` // it has been in that state
	// Words are what the last probe that failed said: the guest's, made printable, one line.
	Words string `json:"words,omitempty"`
}

// Decided says that waiting longer is of no use: it is ready, or was given up.
func (r Readiness) Decided() bool { return r.State != ReadyWaiting }

// NotReadyError says that a workspace runs and does not become ready, or is so no more.
type NotReadyError struct {
	Workspace string
	Readiness
}

func (e *NotReadyError) Error() string {
	text := "it did not become ready"
	if e.State == ReadyLost {
		text = "it is ready no more"
	}
	text += ": " + e.Probe
	if e.Words != "" {
		text += ": " + e.Words
	}
	return text
}

// Is makes it an error of class ErrGuest.
func (e *NotReadyError) Is(target error) bool { return target == ErrGuest }

// OpAwaitReady is what those do who wait until a workspace is ready, as errors say it.
const OpAwaitReady = "wait for readiness of workspace"

// NotReady is the error of a run of a workspace that was given up, nil for any other.
func (r Run) NotReady(workspace string, mode Mode) error {
	if r.Readiness == nil || r.Readiness.State == ReadyYes || !r.Readiness.Decided() {
		return nil
	}
	return &Error{
		Class: ErrGuest, Op: OpAwaitReady, Object: workspace,
		Err: &NotReadyError{workspace, *r.Readiness}, Next: NextNotReady(workspace, mode),
	}
}

// NextNotReady is where to look why a workspace is not ready: what idles writes no log, but the jobs in it do.
func NextNotReady(workspace string, mode Mode) string {
	if mode == ModeIdle {
		return "see what runs in it: microagent list --jobs " + workspace
	}
	return "microagent logs " + workspace
}
