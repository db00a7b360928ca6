package driver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"microagent/schema/spec"
)

// WorkspaceSpec is all that makes a workspace; it is the spec kept in its record. Everything in it is
// resolved: digests, keys, absolute host paths of users' disks.
type WorkspaceSpec struct {
	Name        string `json:"name"`
	Project     string `json:"project,omitempty"`
	Image       string `json:"image"`        // normalised reference
	ImageDigest string `json:"image_digest"` // of the platform's manifest
	RootFS      string `json:"rootfs"`       // DiskImage.Key that the root file system was placed from
	DiskSize    int64  `json:"disk_size"`
	CPUs        int    `json:"cpus"`
	Memory      int64  `json:"memory"`
	// MaxCPUs and MaxMemory are what it may have while it runs, where its VMM changes that; 0 is what it starts with.
	MaxCPUs   int   `json:"max_cpus,omitempty"`
	MaxMemory int64 `json:"max_memory,omitempty"`

	Mounts  []Mount  `json:"mounts,omitempty"` // sorted by Path
	Process Process  `json:"process"`
	Outputs []Output `json:"outputs,omitempty"` // fetched when the task ends; sorted by Name
	// Ports are those that runs publish, and those that are only named.
	Ports []spec.Port `json:"ports,omitempty"`
	// Network is what its guest may reach; nil for no network at all.
	Network *spec.Network `json:"network,omitempty"`
	// Ready says when it is ready, of a service or one that idles; nil: once it was started.
	Ready *spec.Ready `json:"ready,omitempty"`
	// Restart is when a run that nobody ended begins anew; "" is the mode's own.
	Restart spec.Restart `json:"restart,omitempty"`
	// Isolation "hardware" refuses a VMM that does not isolate by hardware; "any" takes what is there.
	Isolation spec.Isolation `json:"isolation"`
	// Boot "fresh" makes its guest boot at each start; "" is "template".
	Boot spec.Boot `json:"boot,omitempty"`
	// OneShot makes the workspace one for the process that creates it: when that is gone, the guest is shut down and the
	// workspace removed. An Update without it makes it one to keep.
	OneShot bool `json:"one_shot,omitempty"`
	// StopGrace is how long a stop waits before it forces; 0 means the driver's default.
	StopGrace time.Duration `json:"stop_grace,omitempty"`
	// Applied is the spec in the engine's own form, but for values of environment variables, which are in Process alone.
	// The driver keeps it and never looks inside.
	Applied json.RawMessage `json:"applied,omitempty"`
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
	// Loss is what the newest end of a run cost that nobody asked for; nil when there was none, or when it was shown
	// already, unless it is the newest run's.
	Loss *Loss `json:"loss,omitempty"`
	// LossShown says that somebody has seen Loss.
	LossShown bool `json:"loss_shown,omitempty"`
	// RootFSMissing says that the record is there and the root file system is not.
	RootFSMissing bool `json:"rootfs_missing,omitempty"`
	// Again says that it was stopped to run again, as a reset does, and was not started since.
	Again bool `json:"again,omitempty"`
	// Silent says that the guest runs and did not answer when it was asked; only status and list ask.
	Silent       bool   `json:"silent,omitempty"`
	RecordDigest string `json:"record_digest"`
}

// Kept is a root file system that is not in use any more, until the next replacement or prune.
type Kept struct {
	Workspace string    `json:"workspace"` // its name on disk
	Project   string    `json:"project,omitempty"`
	Image     string    `json:"image,omitempty"` // normalised; "" when it is not known
	Bytes     int64     `json:"bytes"`           // on disk
	Since     time.Time `json:"since"`
	Deleted   bool      `json:"deleted"` // there is no workspace of that name now
	// Known says that the record which it had is there; without it one that was deleted can't be restored.
	Known bool `json:"known"`
}

// InRun is nil when the workspace is in that run still, or ended it and is as it was left; else it is ErrRefused and says
// what happened since.
func (w Workspace) InRun(id string) error {
	switch {
	case id == "" || w.Run != nil && w.Run.ID == id && (w.Run.Phase.Alive() || w.Run.SpecDigest == w.RecordDigest):
		return nil
	case w.Run == nil:
		return notInRun(w.Spec.Name, "it has not run since it was created")
	case w.Run.ID != id:
		return NotInRun(w.Spec.Name, id, w.Run.ID)
	}
	return notInRun(w.Spec.Name, "run "+id+" has ended, and the workspace was changed since")
}

// NotInRun is the error of an operation that was to happen in run want of a workspace, which is in another, or was given by
// the beginning of its id alone, as which another run's may begin as well.
func NotInRun(workspace, want, is string) error {
	if strings.HasPrefix(is, want) {
		return notInRun(workspace, fmt.Sprintf("%s is the beginning of an id, and another run's may begin so: write all of it, which is %s of the run that it is in", want, is))
	}
	return notInRun(workspace, "it was started since, and is in run "+is)
}

func notInRun(workspace, why string) error {
	return &Error{Class: ErrRefused, Op: "use workspace", Object: workspace, Err: errors.New(why), Next: "microagent status " + workspace}
}

// Records keeps workspaces: their records and root file systems.
type Records interface {
	// List gives the workspaces by name. One whose files can't be understood is left out, and told of in the error:
	// an *Error of class ErrCorrupt, or ErrUnsupported for one of a later version, with its name as Object, joined when there
	// are several. The others come all the same.
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
	// Reset puts a fresh root file system in place, the disk rootfs of its image, and keeps the old one as Replace does, or
	// with lose nothing of it. One that nothing was written to since it was placed stays as it is. ErrBusy while it runs. The
	// workspace gets a new id.
	Reset(ctx context.Context, name, rootfs string, lose bool, p Progress) (Workspace, error)
	// Move gives a stopped workspace another name, and project as its owner, "" for none; all else stays, its newest run,
	// outputs, logs and jobs as well. ErrNotFound without one, ErrExists where the new name is taken, ErrBusy while it runs.
	Move(ctx context.Context, from, to, project string) error
	// Delete removes a stopped workspace with its root file system. ErrBusy while it runs.
	Delete(ctx context.Context, name string) error
	// Retire removes a stopped workspace as Delete does, and keeps its root file system with its record as Replace does. One
	// that is not there is a success.
	Retire(ctx context.Context, name string) error
	// Kept lists the root file systems that Replace, Reset and Retire kept, by workspace.
	Kept(ctx context.Context) ([]Kept, error)
	// Restore brings back what was kept of a workspace, with the record that it had; what the workspace has now is kept in
	// its place. ErrNotFound where nothing is kept, ErrBusy while it runs.
	Restore(ctx context.Context, name string) (Workspace, error)
	// Prune removes the root file systems that Replace, Reset and Retire kept, and gives their bytes on disk
	// and the workspaces they were of. One that an interrupted replacement needs stays. With dry nothing is
	// removed.
	Prune(ctx context.Context, dry bool) (freed int64, workspaces []string, err error)
}

// Workspaces keeps workspaces, their runs and their jobs.
type Workspaces interface {
	Records
	Runs
	Jobs
}
