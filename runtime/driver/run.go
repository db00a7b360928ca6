package driver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"microagent/schema/spec"
)

// Run is the story of one execution: the content of run.json, written by the supervisor alone.
type Run struct {
	ID       string     `json:"id"`
	Key      string     `json:"key,omitempty"`
	Phase    Phase      `json:"phase"`
	Started  time.Time  `json:"started"`
	Ready    *time.Time `json:"ready,omitempty"`
	Ended    *time.Time `json:"ended,omitempty"`
	ExitCode *int       `json:"exit_code,omitempty"` // of the task or service; 128+n for a signal
	Stopped  bool       `json:"stopped,omitempty"`   // it ended because a stop asked for it
	TimedOut bool       `json:"timed_out,omitempty"`
	// OutOfMemory names the process that the guest's kernel killed for want of memory, when that is how it came to its end.
	OutOfMemory string     `json:"out_of_memory,omitempty"`
	Readiness   *Readiness `json:"readiness,omitempty"` // nil: it has no probe
	// Restarts is nil of a run that a command started.
	Restarts *Restarts `json:"restarts,omitempty"`
	// LossOf is the run, this one or that before it, of which a Loss is to be kept: whoever ended it may be gone before that.
	LossOf    string    `json:"loss_of,omitempty"`
	Waits     string    `json:"waits,omitempty"` // what a start takes long for, while it does
	Error     string    `json:"error,omitempty"`
	Console   []string  `json:"console,omitempty"` // last console lines of a failed run
	PID       int       `json:"pid"`
	BootID    string    `json:"boot_id"`
	Start     uint64    `json:"start"`
	Tool      string    `json:"tool"`
	VMM       string    `json:"vmm"`               // "cloud-hypervisor v53.0.0", "qemu 7.2.22 (tcg)"
	Hardware  bool      `json:"hardware"`          // isolated by hardware virtualisation
	Sandbox   *Sandbox  `json:"sandbox,omitempty"` // nil: nobody looked, or the VMM never ran
	Boot      *Boot     `json:"boot,omitempty"`    // nil: the guest is not there yet, or booted before templates were
	Collected []Fetched `json:"collected,omitempty"`
	// Ports are published, by the workspace or for this run, each with the number that it has.
	Ports []spec.PortState `json:"ports,omitempty"`
	// Live is what can change of the guest that is there, nil where nothing can: before it is ready, or of an older microagent.
	Live *Live `json:"live,omitempty"`
	// Network is of a run with one.
	Network     *NetworkState `json:"network,omitempty"`
	SpecDigest  string        `json:"spec_digest"` // of the spec it was started with
	DiskFaults  []DiskFault   `json:"disk_faults,omitempty"`
	Diagnostics []string      `json:"diagnostics,omitempty"`
}

// Boot says how a run's guest came to be.
type Boot struct {
	Template string `json:"template,omitempty"` // id of the template that it is a copy of; "" for one that booted
	Why      string `json:"why,omitempty"`      // why it booted
	Saved    bool   `json:"saved,omitempty"`    // it is a template by now
	Refused  bool   `json:"refused,omitempty"`  // no template is of use to it: it fits none, or copying and saving did not work
}

// OutOfMemory says that a guest with so many bytes of memory had too little for a process, and what to do; "" for no
// process.
func OutOfMemory(process string, memory int64) string {
	if process == "" {
		return ""
	}
	return fmt.Sprintf("%s was killed: the guest was out of memory (%d MiB); give it more: memory: %dMiB", process, memory>>20, memory>>19)
}

// Crash is the error of a run that failed, of a workspace.
func (r Run) Crash(workspace string) *CrashError {
	phase := "boot"
	if r.Ready != nil {
		phase = "running"
	}
	return &CrashError{Workspace: workspace, Phase: phase, Reason: r.Error, Console: r.Console}
}

// StartOptions say what one start has of its own.
type StartOptions struct {
	RunKey string
	Ports  []spec.Port // published for this run, besides the workspace's
	// Network is what the guest may reach in this run, in the place of what the workspace has; NoNetwork is none at all.
	Network   *spec.Network
	NoNetwork bool
	// Fresh has the guest boot in this run, whatever the workspace has.
	Fresh bool
}

// NetworkOf is what the guest of a run of ws may reach.
func (o StartOptions) NetworkOf(ws *WorkspaceSpec) *spec.Network {
	switch {
	case o.NoNetwork:
		return nil
	case o.Network != nil:
		return o.Network
	}
	return ws.Network
}

// RunsAlready is the error of a start with ports or a network of its own, of a workspace that runs; nil without either.
func (o StartOptions) RunsAlready(workspace string) error {
	switch {
	case o.Network != nil || o.NoNetwork:
		return &Error{
			Class: ErrRefused, Op: "start workspace", Object: workspace,
			Err:  errors.New("it runs already, and --net and --allow-net are for a run that begins"),
			Next: "microagent halt " + workspace,
		}
	case o.Fresh:
		return &Error{
			Class: ErrRefused, Op: "start workspace", Object: workspace, Err: errors.New("it runs already, and --boot is for a run that begins"),
			Next: "microagent halt " + workspace,
		}
	case len(o.Ports) == 0:
		return nil
	}
	return &Error{
		Class: ErrRefused, Op: "start workspace", Object: workspace, Err: errors.New("it runs already, and -p is for a run that begins"),
		Next: fmt.Sprintf("microagent forward %s %d", workspace, o.Ports[0].Guest),
	}
}

// StopOptions say how to stop.
type StopOptions struct {
	Grace time.Duration // 0: the workspace's own
	Force bool          // at once, without asking the guest
	// Again notes that what ran is to run again: Workspace.Again, until a start, or a stop without it.
	Again bool
}

// Stopped says how a stop went.
type Stopped struct {
	Was    bool // it was running
	Forced bool // the grace period ran out, or Force was set
}

// ExecSpec is a further process in a running workspace.
type ExecSpec struct {
	Argv    []string
	Env     map[string]string
	User    string // "" the workspace's
	Workdir string // "" the workspace's
	Timeout time.Duration
	// Collect brings the workspace's outputs into its folder when the process has ended, as the end of a task does.
	Collect bool
	// IfRun is the only run that it may be in, "" any: ErrRefused in another.
	IfRun string
}

// Runs runs workspaces that Records keeps.
type Runs interface {
	// Start launches the supervisor and returns when the guest is ready and its process, if any, was
	// started. A running workspace is a success, but ErrRefused with ports of this start's own, which its run has not.
	// What an earlier supervisor left is ended first.
	// Its ports are bound before anything is started: ErrBusy names one that another program has.
	Start(ctx context.Context, name string, o StartOptions) (Run, error)
	// Publish makes the ports of a running workspace those, without a restart: one that is among the old ones keeps its
	// number. Where it fails the old ones stay. ErrRefused when it is not running.
	Publish(ctx context.Context, name string, ports []spec.Port) error
	// Permit makes what a running workspace may reach that, without a restart: what it is about to deny ends. ErrRefused when
	// it is not running, or runs without a network.
	Permit(ctx context.Context, name string, n *spec.Network) error
	// SetEnv gives what begins in a running workspace from now on another environment; what runs keeps its own. ErrRefused
	// when it is not running, ErrUnsupported when what runs it is too old.
	SetEnv(ctx context.Context, name string, env map[string]string) error
	// Mount makes what a running workspace has mounted those, without a restart: disks are plugged and mounted, unmounted and
	// unplugged, and what stays as it is is not touched. ErrBusy says that its guest uses one that is to go, and who does, or that
	// another holds one that is to come; then what was mounted stays. ErrRefused when it is not running, ErrUnsupported when what
	// runs it is too old.
	Mount(ctx context.Context, name string, mounts []spec.Mount) error
	// Resize gives a running workspace so many CPUs and bytes of memory, without a restart, and returns when its guest uses them; what
	// it has is a success. ErrRefused when it is not running, ErrUnsupported when it can't have them while it runs.
	Resize(ctx context.Context, name string, cpus int, memory int64) error
	// GrowRoot makes the root file system of a running workspace that large, in bytes, while it is used. One that is as large
	// is a success. ErrRefused when it is not running, or larger.
	GrowRoot(ctx context.Context, name string, size int64) error
	// Denials are the records of what the guest of a workspace was denied by its network, the oldest first, as far back as
	// they are kept.
	Denials(ctx context.Context, name string) ([]Denial, error)
	// Forward publishes ports of a running workspace until ctx ends, which is no error, or the run does. bound is called
	// once with the numbers that they have.
	Forward(ctx context.Context, name string, ports []spec.Port, bound func([]spec.Port) error) error
	// Ports says which published ports of a running workspace have a server in its guest.
	Ports(ctx context.Context, name string) ([]spec.PortState, error)
	// AwaitReady returns when a running workspace is ready: its probe passed or, without one, its process was started. A
	// *NotReadyError, of class ErrGuest, says that it was given up, and goes on running; what was given up before this call is
	// judged anew. A run that ends meanwhile is given with an error that says how. Ending ctx stops the waiting only.
	AwaitReady(ctx context.Context, name string) (Run, error)
	// Current gives the run of a running workspace as its supervisor sees it: what is of the moment is not in its record.
	Current(ctx context.Context, name string) (Run, error)
	// NoteLossShown says that what the end of a run cost was shown.
	NoteLossShown(ctx context.Context, name, run string) error
	// Wait returns when the run has ended. Ending ctx stops the waiting only.
	Wait(ctx context.Context, name string) (Run, error)
	// Silent says that the guest of a running workspace does not answer, after waiting for that as long as the caller does.
	// One that is still starting, or that does not run, is not silent.
	Silent(ctx context.Context, name string) bool
	// Stop asks the guest to shut down, and forces it when grace ran out.
	Stop(ctx context.Context, name string, o StopOptions) (Stopped, error)
	// Exec runs a process in a running workspace and gives its exit code. ErrRefused when it is not
	// running.
	Exec(ctx context.Context, name string, spec ExecSpec, s Streams) (int, error)
	// Logs writes what the newest run's process wrote, raw.
	Logs(ctx context.Context, name string, o LogOptions, stdout, stderr io.Writer) error
	// AllLogs gives what the newest runs of several workspaces wrote, in the order of time; what is followed comes as it is
	// written. With later, following goes on until ctx ends: with the workspaces' next runs, and with those that come later
	// and that later takes. An error of each ends it and is given back.
	AllLogs(ctx context.Context, names []string, later func(Workspace) bool, o LogOptions, each func(Written) error) error
	// Usage says what those of the workspaces take that run, by name, each asked at the same time. A guest that does not
	// answer while ctx lasts has none.
	Usage(ctx context.Context, names []string) ([]Usage, error)
	// OutputFile opens a fetched output as a tar stream of its tree.
	OutputFile(ctx context.Context, name, output string) (io.ReadCloser, Fetched, error)
}
