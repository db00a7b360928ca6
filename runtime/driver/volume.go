package driver

import (
	"context"
	"time"
)

// VolumeSpec asks for a named volume.
type VolumeSpec struct {
	Name    string
	Project string // "" for volumes made by `volume create`
	Size    int64
	// From is what a new one begins with, a source as of VolumeData; "" is an empty file system. It has no more than Size.
	From string
	// Image is what it begins with instead, as VolumeStreams.Import takes it and with no more than Size; Bundle is the file
	// system whose files it gets, as Disks.Bundle makes it.
	Image  *VolumeImage
	Bundle string // path on the host
}

// VolumeImage is a file that holds a disk image or a tar.
type VolumeImage struct {
	Files Files
	Path  string
}

// Volume is a named volume as it stands.
type Volume struct {
	Name      string    `json:"name"`
	ID        string    `json:"id"` // of this incarnation
	Project   string    `json:"project,omitempty"`
	Size      int64     `json:"size"`
	Allocated int64     `json:"allocated"`
	Created   time.Time `json:"created"`
	Path      string    `json:"path"`
	Protected bool      `json:"protected,omitempty"`
	// Holder is the last workspace that held the volume; Attached says that one holds it now.
	Holder   *Holder `json:"holder,omitempty"`
	Attached bool    `json:"attached"`
	// ImageMissing says that the record is there and the image is not.
	ImageMissing bool `json:"image_missing,omitempty"`
	// Recorded is the size that the record has, in bytes, 0 without one: a larger image was grown by hand, or by a grow that was
	// killed.
	Recorded int64 `json:"recorded,omitempty"`
	// Declared is the size that an apply gave it last, in bytes, where a command made it larger since; 0 where none did.
	Declared int64 `json:"declared,omitempty"`
	// Changed says why the image is not the one that the record is of: it was cut short, or holds another file system.
	Changed string `json:"changed,omitempty"`
	// RecordDigest identifies the record's bytes; "" when there is an image without a record.
	RecordDigest string `json:"record_digest,omitempty"`
	// Unborn says that an image without a record was never mounted: a Create that was killed left it, and Create
	// takes it over.
	Unborn bool `json:"unborn,omitempty"`
}

// Holder says who holds or held a lease.
type Holder struct {
	Workspace string    `json:"workspace"`
	PID       int       `json:"pid"`
	BootID    string    `json:"boot_id"`
	Start     uint64    `json:"start"` // the process's start time in clock ticks since boot
	ReadOnly  bool      `json:"read_only,omitempty"`
	Since     time.Time `json:"since"`
}

// Grower is who makes a volume larger.
type Grower int

// The growers. What a command does to a project's volume is told of as Declared, until an apply makes it larger still.
const (
	ByApply Grower = iota
	ByCommand
)

// Volumes keeps named ext4 disks. A volume dies only by Delete.
type Volumes interface {
	// List gives the volumes by name. One whose record can't be understood is left out, and told of in the error: an
	// *Error of class ErrCorrupt, or ErrUnsupported for one of a later version, with its name as Object, joined when there are
	// several. The others come all the same.
	List(ctx context.Context) ([]Volume, error)
	Get(ctx context.Context, name string) (Volume, error)
	// Find is Get without who holds the volume, which the kernel takes long to tell.
	Find(ctx context.Context, name string) (Volume, error)
	// Create makes the volume; created is false when one with the same size and project was there.
	// ErrExists with another size, ErrRefused with another project.
	Create(ctx context.Context, spec VolumeSpec) (v Volume, created bool, err error)
	// Grow makes the block device larger; the guest grows the file system at its next mount, or now
	// when it runs. ErrRefused for a smaller size.
	Grow(ctx context.Context, name string, size int64, by Grower) (Volume, error)
	// Protect sets or lifts the protection against deletion.
	Protect(ctx context.Context, name string, on bool) error
	// Adopt writes project as the owner, and a fresh record for an image that has none. ErrBusy while attached.
	Adopt(ctx context.Context, name, project string) error
	// Move gives the volume another name, and project as its owner, "" for none; all else stays. ErrNotFound without one,
	// ErrExists where the new name is taken, ErrBusy while a lease on it is held.
	Move(ctx context.Context, from, to, project string) error
	// Delete removes the volume and its data. ErrBusy while a lease on it is held, ErrRefused while it
	// is protected. One that is not there is a success.
	Delete(ctx context.Context, name string) error
}
