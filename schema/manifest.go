package schema

import (
	"path"

	"microagent/schema/diag"
	"microagent/schema/quantity"
	"microagent/schema/spec"
)

// Manifest is a manifest that is valid: typed, with its defaults filled in and its references checked.
// Maps are never nil.
type Manifest struct {
	Project    string
	Volumes    map[string]Volume
	Bundles    map[string]Bundle
	Disks      map[string]Disk
	Workspaces map[string]Workspace
	Outputs    map[string]Output
	Moved      []Moved
	Pos        diag.Pos // of the project's name
}

// MadeOf gives the bundles whose source is the target of an output, each with that output: they are made of what a task
// left.
func (m *Manifest) MadeOf() map[string]string {
	at := map[string]string{}
	for name, o := range m.Outputs {
		if to := path.Clean(o.To); to != "." && to != "/" {
			at[to] = name
		}
	}
	made := map[string]string{}
	for name, b := range m.Bundles {
		if output, ok := at[path.Clean(b.Source)]; ok {
			made[name] = output
		}
	}
	return made
}

// Volume is a named disk of the project.
type Volume struct {
	Size quantity.Size // 0 exactly when External
	// External volumes were made with `volume create`; they are used and never created, grown or deleted.
	External bool
	// Protected volumes can't be deleted, not even by name; nil leaves that as it is.
	Protected *bool
	From      VolumeFrom
	Snapshot  *VolumeSnapshot // nil: none by itself
	Pos       diag.Pos
}

// VolumeFrom is what a new volume begins with; the zero value is an empty file system.
type VolumeFrom struct {
	Volume   string // by name in the manifest
	Snapshot string // volume by name in the manifest, colon, tag
	Image    string // path of a disk image or tar, as Bundle's Source
	Bundle   string // by name in the manifest
	Pos      diag.Pos
}

// VolumeSnapshot says when applies make a snapshot, and how many of those are kept.
type VolumeSnapshot struct {
	Before SnapshotBefore
	Keep   int
}

// SnapshotBefore is what a snapshot is made before.
type SnapshotBefore string

const (
	BeforeReplace SnapshotBefore = "replace" // a workspace that writes to the volume gets a new root file system
	BeforeApply   SnapshotBefore = "apply"   // an apply starts one that does
)

// Bundle becomes a read-only disk.
type Bundle struct {
	Source  string   // relative to the manifest; a directory or a tar
	Exclude []string // names left out of a directory
	Pos     diag.Pos // of the source
}

// Disk is an ext4 image that the user owns.
type Disk struct {
	Path string // relative to the manifest
	Pos  diag.Pos
}

// Workspace is a microVM. At most one of Task and Service is set; an empty, non-nil one runs the image's own
// command.
type Workspace struct {
	Image  string
	CPUs   int
	Memory quantity.Size
	// MaxCPUs and MaxMemory are 0 when absent, and no less than CPUs and Memory else.
	MaxCPUs   int
	MaxMemory quantity.Size
	Disk      quantity.Size
	spec.Guest
	// Entrypoint replaces the image's when it is not nil; empty means none.
	Entrypoint []string
	Task       []string
	Service    []string
	Timeout    quantity.Duration // of the task, 0 for none
	StopGrace  quantity.Duration
	Desired    spec.Desired
	Isolation  spec.Isolation
	Boot       spec.Boot
	Mounts     map[string]Mount // by absolute, clean guest path
	Ports      map[string]spec.Port
	// Network is what the guest may reach, nil for no network at all. Its peers have their names alone; RulePos is where each
	// rule is, by its name.
	Network  *spec.Network
	RulePos  map[string]diag.Pos
	After    map[string]After // by workspace
	Ready    *spec.Ready      // nil: as soon as it was started
	Restart  spec.Restart     // "" when absent
	Pos      diag.Pos         // of the workspace's name
	ImagePos diag.Pos
}

// After is how far another workspace has to be.
type After struct {
	Until spec.Until
	Pos   diag.Pos // of the other's name
}

// Mount attaches one volume, bundle or disk: exactly one of the three is set.
type Mount struct {
	Volume, Bundle, Disk string
	ReadOnly             bool          // always true for a bundle
	Owner                string        // "" the process's user
	Mode                 quantity.Mode // 0 keeps what is there
	Pos                  diag.Pos      // of the guest path
}

// Output is a guest path that is brought to the host when its workspace's task ends.
type Output struct {
	From     string // a workspace
	Path     string // absolute, clean
	To       string // relative to the manifest
	Optional bool
	// Unchanged is what becomes of an output that was there before the task and that the task did not change: "error",
	// as if it were missing, or "allow".
	Unchanged string
	Limit     quantity.Size
	Pos       diag.Pos
}
