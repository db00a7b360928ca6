package driver

import (
	"context"
	"io"
)

// GuestEnd is the guest's side of a copy.
type GuestEnd struct {
	Workspace string // name on disk
	// Image is the host path of the disk that Path lies on; unused where a running guest is asked.
	Image string
	// Disk is how the user calls it, for messages: "scratch", "scratch:data".
	Disk string
	// Path is absolute: on the disk, or in the running guest. A slash at its end demands a directory.
	Path string
	// As is the name under which Path is copied into a directory of the host; "" means Path's own.
	As string
	// Mount is where the guest has the disk; "" and "/" for the root file system.
	Mount string
	// Covered are absolute paths on the disk that the guest mounts something over: what leads there lies
	// on another disk, and is refused.
	Covered []string
	// Volatile are directories on the disk in whose place the guest has one in memory: a file that is copied in would
	// never be seen, and is refused.
	Volatile []string
	// ReadOnly is why nothing may be written to the disk, and Instead what to do; "" when it may.
	ReadOnly, Instead string
}

// HostEnd is the host's side of a copy: a path, or a stream when Path is "".
type HostEnd struct {
	Path   string // a slash at its end demands a directory
	Reader io.Reader
	Writer io.Writer
}

// CopySpec is one copy between host and guest.
type CopySpec struct {
	Guest GuestEnd
	Host  HostEnd
	// Recursive allows directories.
	Recursive bool
	// IfRun is the only run of a running guest that is copied with, "" any: ErrRefused in another.
	IfRun string
}

// Copied is what a copy brought over.
type Copied struct {
	To    string `json:"to"` // where it is now: a host path, or a guest path
	Files int    `json:"files"`
	Bytes int64  `json:"bytes"`
	LeftOut
	// Git are the first few entries called .git that came to the host: git runs programs that the configuration in
	// one names.
	Git []string `json:"git,omitempty"`
}

// NoteGit notes that an entry called .git came.
func (c *Copied) NoteGit(name string) {
	if len(c.Git) < MaxLeftOut {
		c.Git = append(c.Git, shortened(name))
	}
}

// Copier copies files between the host and one place a guest's files can be: a disk that no guest has at the
// moment, or a running guest.
//
// A destination that is a directory takes the source under its own name. Symlinks on the guest's side are resolved
// there. Permissions and modification times are kept; on the host, files belong to the caller and never have
// setuid or setgid; in the guest, a file belongs to the owner of the file it replaces, else of the directory it
// comes into. A file is the old one or the new one at any moment, also after a crash.
type Copier interface {
	// CopyIn copies from the host. ErrBusy, with the holder, while anyone uses the disk; ErrNoSpace when it
	// does not fit.
	CopyIn(ctx context.Context, spec CopySpec) (Copied, error)
	// CopyOut copies to the host and never changes the disk, not even its journal.
	CopyOut(ctx context.Context, spec CopySpec) (Copied, error)
}
