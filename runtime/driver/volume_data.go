package driver

import (
	"context"
	"time"
)

// Snapshot is what was on a volume at one moment. It outlives the volume.
type Snapshot struct {
	Volume    string    `json:"volume"`
	Tag       string    `json:"tag"`
	ID        string    `json:"id,omitempty"` // "" of an image without a record
	Of        string    `json:"of,omitempty"` // the id of the volume then
	Project   string    `json:"project,omitempty"`
	Created   time.Time `json:"created"`
	Size      int64     `json:"size"`      // of the disk, in bytes
	Allocated int64     `json:"allocated"` // on the host, where blocks that are shared count each time
	Path      string    `json:"path"`
	Made      Maker     `json:"made,omitempty"`
}

// Name is VOLUME:TAG.
func (s Snapshot) Name() string { return s.Volume + ":" + s.Tag }

// Maker says what made a snapshot.
type Maker string

const (
	MadeByHand    Maker = ""        // a command that names it
	MadeByApply   Maker = "apply"   // the manifest's snapshot key, whose keep deletes it again
	MadeByRestore Maker = "restore" // what a restore found in its place
)

// Cloned is a volume that was made as a copy.
type Cloned struct {
	Volume Volume
	// OwnIdentity says that its file system got a UUID of its own. Where the checksums of one are made of the UUID it has, it
	// keeps that.
	OwnIdentity bool
}

// Restored is a volume that holds again what it held.
type Restored struct {
	Volume Volume
	Kept   *Snapshot // what was there before; nil when the volume was gone
}

// VolumeUsage is what a volume and its snapshots take. Sizes are bytes.
type VolumeUsage struct {
	Volume         string
	Size           int64 // of the disk
	Allocated      int64 // of it on the host
	Used, Free     int64 // of the file system, with and without what it needs for itself
	Files, MaxFile int64 // inodes in use, and how many there are
	Snapshots      int
	SnapshotBytes  int64 // on the host, where blocks that are shared count each time
	// Live says that a guest writes to it, and the file system's numbers are those that it wrote last.
	Live bool
}

// VolumeData copies what is on volumes. A copy appears under its name whole or not at all; what is copied is at one moment,
// with its journal replayed. A running guest that writes to a source holds it still for that, for a few seconds at most. A
// source is VOLUME, or VOLUME:TAG for a snapshot. ErrNotFound without it, ErrBusy while somebody writes to it who can't be
// asked, or when a copy takes longer, ErrInvalid for what is no tag, ErrNoSpace, and nothing was changed, where the host is
// full.
type VolumeData interface {
	// Clone makes volume to, of no project, a copy of a source. ErrExists where the name is taken.
	Clone(ctx context.Context, source, to string) (Cloned, error)
	// Snapshot keeps what is on the volume now; tag "" takes the time. ErrExists where the tag is taken.
	Snapshot(ctx context.Context, volume, tag string, made Maker) (Snapshot, error)
	// Snapshots gives those of a volume, or all for "", by volume and the time they were made.
	Snapshots(ctx context.Context, volume string) ([]Snapshot, error)
	// Restore gives the volume the content of a snapshot, and makes a snapshot before-TAG of what it had. Its disk never
	// becomes smaller. It is the same volume afterwards, which workspaces go on with. One that was deleted is there again.
	Restore(ctx context.Context, volume, tag string) (Restored, error)
	// Usage counts, also while a guest has the volume.
	Usage(ctx context.Context, volume string) (VolumeUsage, error)
	// Check looks whether the file system is sound, as e2fsck -fn does, and says what is wrong, the first findings in words;
	// none where it is. ErrUnsupported for a file system that it can't judge.
	Check(ctx context.Context, source string) ([]string, error)
	// Trim gives back to the host what no file has, and says how many bytes. A running guest that writes to it does so itself.
	Trim(ctx context.Context, volume string) (int64, error)
	// DeleteSnapshot removes one. One that is not there is a success.
	DeleteSnapshot(ctx context.Context, volume, tag string) error
}
