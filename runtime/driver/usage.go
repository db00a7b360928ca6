package driver

import "time"

// Usage is what a workspace that runs takes at one moment. Sizes are bytes.
type Usage struct {
	Workspace string
	At        time.Time
	Host      HostUse
	Guest     *GuestUse // nil: it did not answer, or its agent is older than the question
	Why       string    // there is no Guest
}

// HostUse is what the host's kernel counts.
type HostUse struct {
	Supervisor ProcessUse
	VMM        ProcessUse // with all that it started
	Disks      []ImageUse // the root file system ("rootfs") first, then volumes by name
}

// ProcessUse is what processes take. What the kernel does not tell is 0: other users' processes have no Private, Read and
// Written.
type ProcessUse struct {
	Processes int
	CPU       time.Duration // since they were started
	RSS       int64         // resident; pages that are shared count in each
	Private   int64         // of it, theirs alone
	Read      int64         // from disks
	Written   int64         // to disks
}

// ImageUse is a disk image.
type ImageUse struct {
	Name      string
	Size      int64
	Allocated int64 // what it takes on the host's disk
}

// GuestUse is what a guest says of itself, and nobody else: a guest may say anything, within bounds.
type GuestUse struct {
	CPUs   int           `json:"cpus"`
	Busy   time.Duration `json:"busy"` // of all CPUs since boot, in nanoseconds
	Idle   time.Duration `json:"idle"`
	Load   [3]float64    `json:"load"` // of 1, 5 and 15 minutes
	Memory int64         `json:"memory"`
	Used   int64         `json:"used"`  // of Memory: what can't be had without taking from processes
	Tasks  int           `json:"tasks"` // processes and threads
	Disks  []FileSystem  `json:"disks"` // "/" first, then the mounts that the workspace has
}

// FileSystem is how full one is.
type FileSystem struct {
	Path string `json:"path"`
	Size int64  `json:"size"`
	Used int64  `json:"used"`
}
