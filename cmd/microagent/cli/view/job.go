package view

import (
	"time"

	"microagent/runtime/driver"
)

// Job is a process that exec -d began.
type Job struct {
	ID          string        `json:"id"`
	Workspace   string        `json:"workspace"`
	Run         string        `json:"run"`   // the id of the run that it began in
	State       string        `json:"state"` // running, exited, stopped, lost
	Argv        []string      `json:"argv"`  // "..." at the end where it is cut
	User        string        `json:"user,omitempty"`
	Workdir     string        `json:"workdir,omitempty"`
	Timeout     time.Duration `json:"timeout,omitempty"` // nanoseconds
	Started     time.Time     `json:"started"`
	Ended       *time.Time    `json:"ended,omitempty"`
	ExitCode    *int          `json:"exit_code,omitempty"`
	TimedOut    bool          `json:"timed_out,omitempty"`
	OutOfMemory bool          `json:"out_of_memory,omitempty"` // as of a run
	Error       string        `json:"error,omitempty"`         // why it is lost, was stopped, or could not be run
	Outputs     []JobOutput   `json:"outputs,omitempty"`       // that it was to leave
	Collected   []Collected   `json:"collected,omitempty"`     // that are held in the workspace's folder
	Taken       []string      `json:"taken,omitempty"`         // names of those that were brought out since
}

// JobOutput is where an output of a job comes from and where it is to lie on the host.
type JobOutput struct {
	Name           string `json:"name"`
	From           string `json:"from"`
	To             string `json:"to"`
	MayBeUnchanged bool   `json:"may_be_unchanged,omitempty"`
}

// OfJob shows a job.
func OfJob(j driver.Job) Job {
	return Job{
		ID: j.ID, Workspace: j.Workspace, Run: j.RunID, State: string(j.State), Argv: j.Argv, User: j.User, Workdir: j.Workdir,
		Timeout: j.Timeout, Started: j.Started, Ended: j.Ended, ExitCode: j.ExitCode, TimedOut: j.TimedOut, OutOfMemory: j.OutOfMemory != "", Error: j.Error,
		Outputs: list(j.Outputs, ofJobOutput), Collected: list(j.Collected, OfCollected), Taken: j.Taken,
	}
}

// OfJobs shows several.
func OfJobs(all []driver.Job) []Job { return list(all, OfJob) }

func ofJobOutput(o driver.JobOutput) JobOutput { return JobOutput(o) }
