package view

import (
	"time"

	"microagent/runtime/driver"
)

// Cloned is a volume that was made as a copy.
type Cloned struct {
	Volume
	OwnIdentity bool `json:"own_identity"` // its file system has a UUID of its own
}

// OfCloned shows one.
func OfCloned(c driver.Cloned) Cloned { return Cloned{OfVolume(c.Volume), c.OwnIdentity} }

// Snapshot is what was on a volume at one moment.
type Snapshot struct {
	Volume    string    `json:"volume"`
	Tag       string    `json:"tag"`
	ID        string    `json:"id,omitempty"`
	Of        string    `json:"of,omitempty"` // the id of the volume then
	Project   string    `json:"project,omitempty"`
	Created   time.Time `json:"created"`
	Size      int64     `json:"size"`
	Allocated int64     `json:"allocated"`
	Path      string    `json:"path"`
	Made      string    `json:"made,omitempty"` // "apply" or "restore"; a command otherwise
}

// OfSnapshot shows one.
func OfSnapshot(s driver.Snapshot) Snapshot {
	return Snapshot{s.Volume, s.Tag, s.ID, s.Of, s.Project, s.Created, s.Size, s.Allocated, s.Path, string(s.Made)}
}

// OfSnapshots shows several.
func OfSnapshots(all []driver.Snapshot) []Snapshot { return list(all, OfSnapshot) }

// Restored is a volume that holds again what it held.
type Restored struct {
	Volume
	Kept *Snapshot `json:"kept,omitempty"` // what was there before
}

// OfRestored shows one.
func OfRestored(r driver.Restored) Restored {
	out := Restored{Volume: OfVolume(r.Volume)}
	if r.Kept != nil {
		kept := OfSnapshot(*r.Kept)
		out.Kept = &kept
	}
	return out
}

// Exported is a file that a volume was written to.
type Exported struct {
	Source       string   `json:"source"`
	To           string   `json:"to"`
	Size         int64    `json:"size"`    // of the disk
	Written      int64    `json:"written"` // bytes of the file
	LeftOut      []string `json:"left_out,omitempty"`
	LeftOutCount int      `json:"left_out_count,omitempty"`
}

// OfExported shows one.
func OfExported(source, to string, e driver.Exported) Exported {
	return Exported{source, to, e.Size, e.Written, e.LeftOut.Names, e.LeftOut.Count}
}

// VolumeUsage is what a volume and its snapshots take. Sizes are bytes.
type VolumeUsage struct {
	Volume        string `json:"volume"`
	Size          int64  `json:"size"`
	Allocated     int64  `json:"allocated"` // on the host
	Used          int64  `json:"used"`      // of the file system
	Free          int64  `json:"free"`
	Files         int64  `json:"files"` // inodes in use
	MaxFiles      int64  `json:"max_files"`
	Snapshots     int    `json:"snapshots"`
	SnapshotBytes int64  `json:"snapshot_bytes"` // on the host
	Live          bool   `json:"live"`           // a guest writes to it
}

// OfVolumeUsage shows one.
func OfVolumeUsage(u driver.VolumeUsage) VolumeUsage {
	return VolumeUsage{u.Volume, u.Size, u.Allocated, u.Used, u.Free, u.Files, u.MaxFile, u.Snapshots, u.SnapshotBytes, u.Live}
}

// Checked is what a look at a file system came to.
type Checked struct {
	Source   string   `json:"source"`
	Sound    bool     `json:"sound"`
	Findings []string `json:"findings"` // the first few, in words
}
