package driver

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"microagent/schema/spec"
)

// WorkspaceSpec is all that makes a workspace; it is the spec kept in its record. Everything in it is
// resolved: digests, keys, absolute host paths of users' disks.
type WorkspaceSpec struct {
	Name        string   `json:"name"`
	Project     string   `json:"project,omitempty"`
	Image       string   `json:"image"`        // normalised reference
	ImageDigest string   `json:"image_digest"` // of the platform's manifest
	RootFS      string   `json:"rootfs"`       // DiskImage.Key that the root file system was placed from
	DiskSize    int64    `json:"disk_size"`
	CPUs        int      `json:"cpus"`
	Memory      int64    `json:"memory"`
	Mounts      []Mount  `json:"mounts,omitempty"` // sorted by Path
	Process     Process  `json:"process"`
	Outputs     []Output `json:"outputs,omitempty"` // fetched when the task ends; sorted by Name
	// Isolation "hardware" refuses a VMM that does not isolate by hardware; "any" takes what is there.
	Isolation spec.Isolation `json:"isolation"`
	// OneShot makes the workspace one for the process that creates it: when that is gone, the guest is shut down and the
	// workspace removed. An Update without it makes it one to keep.
	OneShot bool `json:"one_shot,omitempty"`
	// StopGrace is how long a stop waits before it forces; 0 means the driver's default.
	StopGrace time.Duration `json:"stop_grace,omitempty"`
	// Applied is the spec in the engine's own form, but for values of environment variables, which are in Process alone.
	// The driver keeps it and never looks inside.
	Applied json.RawMessage `json:"applied,omitempty"`
}

// UnchangedError says that what lies at an output's path was left by an earlier run or by the image.
type UnchangedError struct{ Path string }

func (e *UnchangedError) Error() string {
	return e.Path + " was there before, and this run changed nothing of it"
}

// Is makes it an error of class ErrNotFound: the run has no such output.
func (e *UnchangedError) Is(target error) bool { return target == ErrNotFound }

// Run is the story of one execution: the content of run.json, written by the supervisor alone.
type Run struct {
	ID          string     `json:"id"`
	Key         string     `json:"key,omitempty"`
	Phase       Phase      `json:"phase"`
	Started     time.Time  `json:"started"`
	Ready       *time.Time `json:"ready,omitempty"`
	Ended       *time.Time `json:"ended,omitempty"`
	ExitCode    *int       `json:"exit_code,omitempty"` // of the task or service; 128+n for a signal
	Stopped     bool       `json:"stopped,omitempty"`   // it ended because a stop asked for it
	TimedOut    bool       `json:"timed_out,omitempty"`
	Waits       string     `json:"waits,omitempty"` // what a start takes long for, while it does
	Error       string     `json:"error,omitempty"`
	Console     []string   `json:"console,omitempty"` // last console lines of a failed run
	PID         int        `json:"pid"`
	BootID      string     `json:"boot_id"`
	Start       uint64     `json:"start"`
	Tool        string     `json:"tool"`
	VMM         string     `json:"vmm"`               // "cloud-hypervisor v53.0.0", "qemu 7.2.22 (tcg)"
	Hardware    bool       `json:"hardware"`          // isolated by hardware virtualisation
	Sandbox     *Sandbox   `json:"sandbox,omitempty"` // nil: nobody looked, or the VMM never ran
	Collected   []Fetched  `json:"collected,omitempty"`
	SpecDigest  string     `json:"spec_digest"` // of the spec it was started with
	Diagnostics []string   `json:"diagnostics,omitempty"`
}

// Crash is the error of a run that failed, of a workspace.
func (r Run) Crash(workspace string) *CrashError {
	phase := "boot"
	if r.Ready != nil {
		phase = "running"
	}
	return &CrashError{Workspace: workspace, Phase: phase, Reason: r.Error, Console: r.Console}
}

// Fetched is an output that lies in the workspace's folder.
type Fetched struct {
	Name  string `json:"name"`
	From  string `json:"from"` // the guest path
	Path  string `json:"path"` // relative to the workspace's folder
	Bytes int64  `json:"bytes"`
	Files int    `json:"files"`
	// Digest is that of the tree in its canonical form without its git folders; "" when the whole tree is one.
	Digest string `json:"digest"`
	// WithGit is the digest of the tree with its git folders, "" when it lies there without, or has none.
	WithGit string `json:"with_git,omitempty"`
	Error   string `json:"error,omitempty"`   // why it is not there
	Missing bool   `json:"missing,omitempty"` // that is because the guest had nothing there, or nothing of this run
	// Unchanged says that the run changed nothing of it, and Older how many of its files the run did not touch.
	Unchanged bool `json:"unchanged,omitempty"`
	Older     int  `json:"older,omitempty"`
	LeftOut
}

// Notes are what a user is to be told of an output that came, a line each.
func (f Fetched) Notes() []string {
	var notes []string
	if f.Count > 0 {
		notes = append(notes, f.Summary())
	}
	switch {
	case f.Unchanged:
		notes = append(notes, "the run changed nothing of it")
	case f.Older == 1:
		notes = append(notes, "1 file was there before the run, which did not touch it")
	case f.Older > 1:
		notes = append(notes, fmt.Sprintf("%d files were there before the run, which did not touch them", f.Older))
	}
	return notes
}

// Whole is the digest of what lies there.
func (f Fetched) Whole() string {
	if f.WithGit != "" {
		return f.WithGit
	}
	return f.Digest
}

// Workspace is a workspace as it stands.
type Workspace struct {
	Spec    WorkspaceSpec `json:"spec"`
	ID      string        `json:"id"` // of this incarnation of the root file system
	Created time.Time     `json:"created"`
	Updated time.Time     `json:"updated"`
	Folder  string        `json:"folder"`
	// Run is the newest run, nil when it never ran. Its phase is corrected to lost when its
	// supervisor is gone.
	Run *Run `json:"run,omitempty"`
	// RootFSMissing says that the record is there and the root file system is not.
	RootFSMissing bool `json:"rootfs_missing,omitempty"`
	// Silent says that the guest runs and did not answer when it was asked; only status and list ask.
	Silent       bool   `json:"silent,omitempty"`
	RecordDigest string `json:"record_digest"`
}

// StopOptions say how to stop.
type StopOptions struct {
	Grace time.Duration // 0: the workspace's own
	Force bool          // at once, without asking the guest
}

// Stopped says how a stop went.
type Stopped struct {
	Was    bool // it was running
	Forced bool // the grace period ran out, or Force was set
}

// LogOptions choose what Logs gives.
type LogOptions struct {
	Stream string // "stdout", "stderr", "console", "" for stdout and stderr in the order they came
	Follow bool
	Tail   *int // the last lines, each one of its stream; nil means all that is kept
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
}

// Workspaces keeps workspaces and their runs.
type Workspaces interface {
	// List gives the workspaces by name. One whose files can't be understood is left out, and told of in the error:
	// an *Error of class ErrCorrupt with its name as Object, joined when there are several. The others come all the
	// same.
	List(ctx context.Context) ([]Workspace, error)
	Get(ctx context.Context, name string) (Workspace, error)
	// Create places the root file system and writes the record. ErrExists when there is one already.
	Create(ctx context.Context, spec WorkspaceSpec, p Progress) (Workspace, error)
	// Update writes a new spec over the old one: image and root file system stay. A larger DiskSize grows
	// the root file system at the next start. A run that is under way goes on with the spec it was started
	// with.
	Update(ctx context.Context, spec WorkspaceSpec) (Workspace, error)
	// Replace puts a new root file system in place and keeps the old one as rootfs.prev. ErrBusy while
	// it runs. The workspace gets a new id.
	Replace(ctx context.Context, spec WorkspaceSpec, p Progress) (Workspace, error)
	// Start launches the supervisor and returns when the guest is ready and its process, if any, was
	// started. A running workspace is a success. What an earlier supervisor left is ended first.
	Start(ctx context.Context, name string, runKey string) (Run, error)
	// Wait returns when the run has ended. Ending ctx stops the waiting only.
	Wait(ctx context.Context, name string) (Run, error)
	// Silent says that the guest of a running workspace does not answer, after waiting for that as long as the caller does.
	// One that is still starting, or that does not run, is not silent.
	Silent(ctx context.Context, name string) bool
	// Stop asks the guest to shut down, and forces it when grace ran out.
	Stop(ctx context.Context, name string, o StopOptions) (Stopped, error)
	// Delete removes a stopped workspace with its root file system. ErrBusy while it runs.
	Delete(ctx context.Context, name string) error
	// Prune removes the root file systems that replacements kept (rootfs.prev), and gives their bytes on disk
	// and the workspaces they were of. One that an interrupted replacement needs stays. With dry nothing is
	// removed.
	Prune(ctx context.Context, dry bool) (freed int64, workspaces []string, err error)
	// Exec runs a process in a running workspace and gives its exit code. ErrRefused when it is not
	// running.
	Exec(ctx context.Context, name string, spec ExecSpec, s Streams) (int, error)
	// Logs writes what the run's process wrote, raw.
	Logs(ctx context.Context, name string, o LogOptions, stdout, stderr io.Writer) error
	// OutputFile opens a fetched output as a tar stream of its tree.
	OutputFile(ctx context.Context, name, output string) (io.ReadCloser, Fetched, error)
}
