// Package observed is what the world looks like to the planner: plain values that apply/refresh fills and plan
// reads. Nothing in it has behaviour, and nothing in it names a driver. Names are names on disk
// ("counter.data") unless a comment says otherwise.
package observed

import (
	"time"

	"microagent/schema/spec"
)

// World is one reading of everything a plan can rest on.
type World struct {
	// Volumes by name on disk: the project's own, those of other projects, and bare ones.
	Volumes map[string]Volume
	// Snapshots of the volumes that a declared one begins with a snapshot of, by the volume's name on disk, oldest first.
	Snapshots map[string][]Snapshot
	// VolumeImages are the files that new volumes begin with, by the volume's name in the manifest.
	VolumeImages map[string]VolumeImage
	Workspaces   map[string]Workspace
	Bundles      map[string]Bundle // records, by name on disk
	// Sources are the bundle sources of the manifest as they are now, by bundle name in the manifest.
	Sources map[string]Source
	// Images by reference as written in the manifest.
	Images map[string]Image
	// Disks are the users' disks, by name in the manifest.
	Disks map[string]Disk
	// Outputs by name in the manifest.
	Outputs map[string]Output
	Project Project
	// Projects are the records of all others, by name.
	Projects map[string]Project
	Host     spec.Host
	// Servers are the ports of the host that programs listen on, each with its address, when the manifest publishes some by
	// number.
	Servers []spec.Port
	// Records is the digest of every record that was read, by "kind/name on disk".
	Records map[string]string
}

// Project is the record of the manifest's project; the zero value when it has none yet.
type Project struct {
	Manifest string // where it was applied from, absolute; "" after destroy
	// Outputs are the digests of what applies brought to the host, by absolute path.
	Outputs map[string]string
	Moved   bool // another manifest than the one in hand, and it still exists
	// MovingFrom is the project whose objects are becoming this one's, "" for none.
	MovingFrom string
}

// Volume is a volume as it stands.
type Volume struct {
	ID, Project string
	Size        int64
	Recorded    int64 // the size that its record has; 0 is unknown
	Declared    int64 // the size of the last apply, where a command made it larger since
	Protected   bool
	// Holder is the workspace that holds it now, "" for none.
	Holder         string
	HolderReadOnly bool
	// Missing says that the record is there and the image is not; Changed, why the image is not the one that the record is
	// of, "" when it is.
	Missing bool
	Changed string
	// NoRecord says that there is an image without a record; Unborn, that it was never mounted, too: what a create
	// that was killed left.
	NoRecord, Unborn bool
	// Broken says that its record can't be understood; all else is unknown then.
	Broken Broken
}

// Snapshot is what was on a volume once.
type Snapshot struct {
	Tag  string
	Size int64 // of the disk, in bytes
}

// VolumeImage says whether a file can be read.
type VolumeImage struct {
	Err, Next string // why it can't, and what to do
	Refused   bool   // for safety
}

// Broken says why the record of an object can't be understood; the zero value when it can.
type Broken struct {
	Why  string
	Next string // what to do instead of making a new record, "" when that is the way
}

// Bundle is the record of a project's bundle.
type Bundle struct {
	Project string
	Digest  string
	Source  string
	// Built says that the disk is in the cache.
	Built bool
}

// Source is a bundle's source.
type Source struct {
	Digest  string
	Entries int
	Bytes   int64
	Built   bool // a disk for this digest is in the cache
	Err     string
	Next    string
	Refused bool // for safety: Err is about a place that a manifest may not name
}

// Image is what a reference stands for.
type Image struct {
	Ref     string // normalised
	Digest  string // "" is known after pull
	From    string // "record", "store", "registry", "file"
	InStore bool
	Size    int64
	Config  spec.ImageConfig // set when InStore
	Moved   string           // the digest that the tag stands for now, when it is another (only with --pull)
	Err     string
	Next    string
	Refused bool // for safety: Err is about a place that a manifest may not name
}

// Disk is a user's disk.
type Disk struct {
	Path    string // absolute
	ID      string // device and inode
	Size    int64
	Holder  string
	Err     string
	Next    string
	Refused bool // for safety: Err is about a place that a manifest may not name
}

// Output is what lies at an output's target on the host.
type Output struct {
	Path    string // absolute
	Exists  bool
	Digest  string // of the tree, in the form that a fetched output's digest has; "" when not Exists
	Err     string
	Next    string
	Refused bool // for safety: Err is about a place that a manifest may not name
}

// Workspace is a workspace as it stands.
type Workspace struct {
	Spec          WorkspaceSpec
	Broken        Broken // its record can't be understood: then Spec has its name and project alone
	ID            string
	RootFSMissing bool
	Running       bool
	// Starting says that it runs and its guest is not ready yet.
	Starting bool
	// BacksOff says that it runs by a supervisor that waits to start its guest again.
	BacksOff bool
	// NotReady is what its probe says of a run that is not ready, "" of any other.
	NotReady string
	Run      *Run
	// Live is what of its guest can change while it runs; nil for nothing.
	Live *Live
	// Ports are published while it runs, each by the number that it has.
	Ports []spec.Port
}

// Live is what a running guest has that can change without a restart, and how far.
type Live struct {
	Mounts []spec.Mount // as they are; that of a bundle has another Source than a spec
	Fixed  []string     // paths of those that stay as long as the guest runs
	Room   int          // for so many more disks
	VM     *spec.VM     // what the VMM says; nil where nobody asked it
}

// Run is the newest run of a workspace.
type Run struct {
	ID, Key   string
	Phase     spec.Phase
	Started   time.Time
	ExitCode  *int
	Stopped   bool
	TimedOut  bool
	Error     string
	VMM       string
	Hardware  bool
	Collected map[string]Collected // by output name
}

// Collected is an output that a run left in the workspace's folder.
type Collected struct {
	Digest string // of the tree without git folders
	// WithGit is the digest of the tree with them, "" when it has none.
	WithGit string
	Err     string
	From    string // the guest path it was taken from; "" when that is not known
}
