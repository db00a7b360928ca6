package driver

import (
	"context"
	"io"
	"slices"
	"time"
)

// Job is a process that StartJob began: it belongs to a run of a workspace, goes on without the client that began it, and
// is listed after its end.
type Job struct {
	ID        string // short, and no other job of the workspace's has it
	Workspace string
	RunID     string // the run that it began in; it never outlives that
	Argv      []string
	User      string
	Workdir   string
	Timeout   time.Duration
	Started   time.Time
	Ended     *time.Time // nil as well of a lost job whose end nobody saw
	State     JobState
	ExitCode  *int // nil when nobody heard of one
	TimedOut  bool
	// OutOfMemory is as that of a Run.
	OutOfMemory string
	Error       string // why it is lost, was stopped, or could not be run
	// PID, BootID and Start are its supervisor's, as in Run.
	PID       int
	BootID    string
	Start     uint64
	Outputs   []JobOutput
	Collected []Fetched // those of Outputs, once it has ended
	Taken     []string  // names of those that were brought out of the workspace's folder since
}

// Holds says whether it has outputs that nobody brought out.
func (j Job) Holds() bool {
	return slices.ContainsFunc(j.Collected, func(f Fetched) bool { return f.Error == "" && !slices.Contains(j.Taken, f.Name) })
}

// JobState is where a job is.
type JobState string

// The states of a job.
const (
	JobRunning JobState = "running"
	JobExited  JobState = "exited"  // by itself, or by a signal from within its guest
	JobStopped JobState = "stopped" // because a stop asked for it: the job's own, or the workspace's
	JobLost    JobState = "lost"    // its guest or its supervisor ended, or the guest rebooted
)

// JobOutput is what a job leaves in the guest for its user.
type JobOutput struct {
	Name           string
	From           string // the guest path
	To             string // where it is to lie on the host, absolute
	MayBeUnchanged bool   // it counts also when the job did not change it
}

// JobSpec is a job to start.
type JobSpec struct {
	Exec    ExecSpec // its Collect is unused
	Outputs []JobOutput
}

// How many jobs a workspace has at once, and how many that ended it keeps; one with outputs that nobody brought out is
// kept in any case, and when there are that many of those a new job is refused.
const (
	MaxRunningJobs = 32
	MaxEndedJobs   = 64
)

// Jobs runs jobs in workspaces that Records keeps, and keeps what they leave with their workspace. What an id stands for is
// ErrNotFound when there is no such job; the beginning of an id is enough where no other job's has it, and else is
// ErrInvalid.
type Jobs interface {
	// StartJob begins a job in a running workspace and returns when it was begun. ErrRefused when the workspace does not
	// run, has too many jobs, or is run by a microagent that knows no jobs.
	StartJob(ctx context.Context, name string, spec JobSpec) (Job, error)
	// Jobs lists a workspace's jobs, oldest first. One whose record can't be understood is left out, and told of in the
	// error.
	Jobs(ctx context.Context, name string) ([]Job, error)
	// WaitJob returns when the job has ended and its outputs lie in the workspace's folder. Ending ctx stops the waiting only.
	WaitJob(ctx context.Context, name, id string) (Job, error)
	// StopJob asks the job to end by SIGTERM, kills it when the grace (0: 10 s) is over, and returns when it has ended. One
	// that has ended is a success. That it is killed does not depend on ctx.
	StopJob(ctx context.Context, name, id string, o StopOptions) (Job, error)
	// JobOutput opens an output that a job left as a tar stream of its tree.
	JobOutput(ctx context.Context, name, id, output string) (io.ReadCloser, Fetched, error)
	// TakeJob notes that an output of the job was brought out: the job need not be kept for it.
	TakeJob(ctx context.Context, name, id, output string) error
	// PruneJobs forgets jobs that ended, but for those with outputs that nobody brought out, and gives their bytes on disk.
	// With dry nothing is removed.
	PruneJobs(ctx context.Context, dry bool) (freed int64, jobs []Job, err error)
}
