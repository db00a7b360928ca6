package control

import (
	"time"

	"microagent/runtime/driver"
)

// jobShape is job.json, and a job on the wire. A new field is optional, and its zero means what was true before it. There is
// no environment in it: nobody needs it once the job has begun.
type jobShape struct {
	ID          string           `json:"id"`
	Run         string           `json:"run"`
	Argv        []string         `json:"argv"`
	User        string           `json:"user,omitempty"`
	Workdir     string           `json:"workdir,omitempty"`
	Timeout     time.Duration    `json:"timeout,omitempty"` // nanoseconds
	Started     time.Time        `json:"started"`
	Ended       *time.Time       `json:"ended,omitempty"`
	State       driver.JobState  `json:"state"`
	ExitCode    *int             `json:"exit_code,omitempty"`
	TimedOut    bool             `json:"timed_out,omitempty"`
	OutOfMemory string           `json:"out_of_memory,omitempty"`
	Error       string           `json:"error,omitempty"`
	PID         int              `json:"pid"` // of its supervisor
	BootID      string           `json:"boot_id"`
	Start       uint64           `json:"start"`
	Outputs     []jobOutputShape `json:"outputs,omitempty"`
	Collected   []fetchedShape   `json:"collected,omitempty"`
}

type jobOutputShape struct {
	Name           string `json:"name"`
	From           string `json:"from"` // the guest path
	To             string `json:"to"`   // on the host, absolute
	MayBeUnchanged bool   `json:"may_be_unchanged,omitempty"`
}

func jobShapeOf(j driver.Job) jobShape {
	to := jobShape{
		ID: j.ID, Run: j.RunID, Argv: j.Argv, User: j.User, Workdir: j.Workdir, Timeout: j.Timeout, Started: j.Started,
		Ended: j.Ended, State: j.State, ExitCode: j.ExitCode, TimedOut: j.TimedOut, OutOfMemory: j.OutOfMemory, Error: j.Error,
		PID: j.PID, BootID: j.BootID, Start: j.Start,
		Outputs: jobOutputShapes(j.Outputs), Collected: fetchedShapes(j.Collected),
	}
	return to
}

func (r jobShape) job(workspace string) driver.Job {
	return driver.Job{
		ID: r.ID, Workspace: workspace, RunID: r.Run, Argv: r.Argv, User: r.User, Workdir: r.Workdir, Timeout: r.Timeout,
		Started: r.Started, Ended: r.Ended, State: r.State, ExitCode: r.ExitCode, TimedOut: r.TimedOut, OutOfMemory: r.OutOfMemory, Error: r.Error,
		PID: r.PID, BootID: r.BootID, Start: r.Start,
		Outputs: jobOutputs(r.Outputs), Collected: fetchedOf(r.Collected),
	}
}

func jobOutputShapes(list []driver.JobOutput) (shapes []jobOutputShape) {
	for _, o := range list {
		shapes = append(shapes, jobOutputShape(o))
	}
	return shapes
}

func jobOutputs(shapes []jobOutputShape) (list []driver.JobOutput) {
	for _, o := range shapes {
		list = append(list, driver.JobOutput(o))
	}
	return list
}
