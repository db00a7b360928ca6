package driver

import "time"

// DiskFault is what the host could not do of what a guest asked of one of its disks. The guest was told of an I/O error.
type DiskFault struct {
	Disk    string    `json:"disk"`               // "the root file system", "volume data"
	NoSpace bool      `json:"no_space,omitempty"` // the host's file system is full
	Reason  string    `json:"reason"`
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
	// Count is how often the VMM told of it, which it does once a second; 0: the host has no room, and no more is known.
	Count int `json:"count"`
}
