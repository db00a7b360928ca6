package control

import (
	"context"
	"io"
	"io/fs"
	"time"

	"microagent/runtime/driver"
	"microagent/schema/spec"
)

// Service is what a supervisor does when it is asked. A ctx ends when the client goes away. Errors reach the client with
// class, operation, object and advice.
type Service interface {
	// Status is the run as it is now.
	Status() driver.Run
	// Wait returns when the run has ended.
	Wait(ctx context.Context) (Ended, error)
	// Ready returns when the run is ready, with the run; an error says that it was given up or has ended.
	Ready(ctx context.Context) (driver.Run, error)
	// Halt asks for a stop with a grace (0: the workspace's own), Kill for one at once; both return when the run has ended.
	Halt(ctx context.Context, grace time.Duration) (Ended, error)
	Kill(ctx context.Context) (Ended, error)
	// Logs writes what the run's process wrote, of one stream ("stdout", "stderr") or of both (""), with follow until its end.
	Logs(ctx context.Context, stream string, follow bool, stdout, stderr io.Writer) error

	// Ping returns when the guest has answered.
	Ping(ctx context.Context) error
	// Exec runs a process until its end. When ctx ends it is hung up on.
	Exec(ctx context.Context, e Exec, s ExecStreams) (Exit, error)
	// Fetch writes the tree at a guest path as a tar stream of at most limit bytes of content.
	Fetch(ctx context.Context, path string, limit int64, tar io.Writer) error
	// Put unpacks a tar stream below a directory of the guest.
	Put(ctx context.Context, dir string, tar io.Reader) error
	// Stat looks at a guest path; follow resolves a symlink at its end.
	Stat(ctx context.Context, path string, follow bool) (FileInfo, error)
	// Sync returns when what the guest wrote so far is on its disks.
	Sync(ctx context.Context) error
	// Grow makes an attached volume ("": the root file system) larger, in bytes, and gives its file system's size then.
	Grow(ctx context.Context, volume string, size int64) (int64, error)
	// Freeze blocks what the guest writes to an attached volume until ctx ends, which is no error, and calls frozen once it
	// does. An error says that the guest did not, or not until then.
	Freeze(ctx context.Context, volume string, frozen func() error) error
	// Trim gives the host back what no file of an attached volume has.
	Trim(ctx context.Context, volume string) error
	// Publish makes the workspace's ports those; where it fails the old ones stay.
	Publish(ctx context.Context, ports []spec.Port) error
	// Permit makes what the guest may reach that; flows that it denies end.
	Permit(ctx context.Context, n *spec.Network) error
	// SetEnv gives what begins in the guest from now on, and after a reboot or a restart of it, another environment.
	SetEnv(ctx context.Context, env map[string]string) error
	// Mount makes what the guest has mounted those, besides its root.
	Mount(ctx context.Context, mounts []spec.Mount) error
	// ResizeVM gives the guest that is there, and those that boot later, so many CPUs and bytes of memory.
	ResizeVM(ctx context.Context, cpus int, memory int64) error
	// Stats is what the guest says that it uses now.
	Stats(ctx context.Context) (driver.GuestUse, error)
	// Forward publishes ports until ctx or the run ends, and tells their numbers once; with settled not before the guest has
	// said whether it has the servers.
	Forward(ctx context.Context, ports []spec.Port, settled bool, bound func([]spec.Port) error) error

	// StartJob begins a job, which goes on without the client, also when that goes away while it is begun.
	StartJob(ctx context.Context, spec driver.JobSpec) (driver.Job, error)
	// WaitJob returns when the job has ended, with its record on disk or not; ErrNotFound for one that runs no more.
	WaitJob(ctx context.Context, id string) (driver.Job, error)
	// StopJob ends a job by SIGTERM, and by SIGKILL when the grace is over (0: 10 s) or with force at once.
	StopJob(ctx context.Context, id string, grace time.Duration, force bool) (driver.Job, error)
}

// Ended is how a run ended.
type Ended struct {
	Run    driver.Run
	Forced bool // the guest did not end by itself
}

// Exec is a process to run in the guest.
type Exec struct {
	ID       string // unique in the run
	Spec     driver.ExecSpec
	Terminal bool
	Size     driver.WindowSize // at its start
}

// ExecStreams are a process's. Stderr is nothing when it has a terminal, Stdin nil when it has no input.
type ExecStreams struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Steering comes in the client's order, from before the process has started; it is never closed.
	Steering <-chan Steering
}

// Steering is one thing done to a process from outside: a signal by name, or a window size.
type Steering struct {
	Signal string // "": Size counts
	Size   driver.WindowSize
}

// Exit is how a process ended.
type Exit struct {
	Code     int
	TimedOut bool
}

// FileInfo is what is at a guest path.
type FileInfo struct {
	Mode     fs.FileMode
	Size     int64
	ModTime  time.Time
	UID, GID uint32
	Target   string // of a symlink; the guest's words
}
