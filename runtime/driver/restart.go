package driver

import "time"

// Restarts is what a run knows of those before it that nobody ended and in whose place it began.
type Restarts struct {
	Count int `json:"count"` // since a command started the workspace
	// Next is when its guest boots, while that is waited for.
	Next *time.Time `json:"next,omitempty"`
	Why  string     `json:"why"` // how the run before it ended
}

// Settling is how long a service without a probe runs until it counts as ready: long enough for a program that is not
// there or refuses its configuration. The boot, which took that long, says how slow the host is.
func Settling(boot time.Duration) time.Duration { return max(500*time.Millisecond, boot/3) }

// BacksOff says that the run waits for the time at which its guest is to boot again.
func (r *Run) BacksOff() bool {
	return r != nil && r.Phase == PhaseStarting && r.Restarts != nil && r.Restarts.Next != nil
}

// EndWaiting is of a run that ended: it waits for nothing, and its guest is not to boot again.
func (r *Run) EndWaiting() {
	r.Waits = ""
	if r.Restarts != nil && r.Restarts.Next != nil {
		r.Restarts = &Restarts{Count: r.Restarts.Count, Why: r.Restarts.Why}
	}
}

// Loss is what the end of a run cost that nobody asked for. What was in its memory is gone, always.
type Loss struct {
	Run string    `json:"run"` // its id
	At  time.Time `json:"at"`
	Why string    `json:"why"`
	// RootFS says what became of the root file system: kept.
	RootFS string `json:"rootfs"`
	// Images are those that the guest could write.
	Images []LostImage `json:"images"`
	// Restarted says that the run after it began by itself, at Next where that is not at once.
	Restarted bool       `json:"restarted"`
	Next      *time.Time `json:"next,omitempty"`
	Task      bool       `json:"task,omitempty"` // it was a task's
}

// LostImage is a disk of a run as its end left it.
type LostImage struct {
	Name string `json:"name"` // "the root file system", "volume data"
	// LastWrite is when the last write reached the host's file; zero where that is not known, as of a block device.
	LastWrite time.Time `json:"last_write,omitzero"`
	Journal   string    `json:"journal"`
}

// What a journal can be.
const (
	JournalClean   = "clean"          // the file system was unmounted
	JournalDirty   = "needs_recovery" // the next mount replays it
	JournalUnknown = "unknown"        // it has none that is understood
)

// RootFSKept is what becomes of a root file system: nothing but a replacement takes it away.
const RootFSKept = "kept"
