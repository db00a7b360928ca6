package driver

import "time"

// LogOptions choose what of a log is given.
type LogOptions struct {
	// Stream is "stdout" or "stderr", "" for both in the order they came; "console" is the guest kernel's, "supervisor" what
	// the supervisor says of the run, "vmm" what the VMM does, "network" what the guest's network denied in all its runs, each
	// a Denial in JSON.
	Stream string
	Follow bool // go on until no run is under way
	Tail   *int // the last lines of each workspace, each one of its stream; nil means all that is kept
	// Since leaves out the lines that began earlier. A log that has no times is given whole when anything was written to
	// it since.
	Since time.Time
	// Job is the job whose log it is, which has stdout and stderr alone; "" is the run's own. Following it ends with the job.
	Job string
}

// Written is a piece of what a workspace's process, or whose stream it is, wrote, raw; or, without Data, a mark: that a run began
// or ended while it was followed.
type Written struct {
	Workspace string
	Stream    string
	Time      time.Time // when it came, to the millisecond; zero where the log has no times: of another stream than a process's, or of version f365b52
	Data      []byte
	Run       *Run // of a mark
}
