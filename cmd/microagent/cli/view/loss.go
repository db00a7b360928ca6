package view

import (
	"time"

	"microagent/runtime/driver"
)

// Loss is what the newest end of a run cost that nobody asked for. What was in its memory is gone, always.
type Loss struct {
	Run       string      `json:"run"` // its id
	At        time.Time   `json:"at"`
	Why       string      `json:"why"`
	RootFS    string      `json:"rootfs"` // kept
	Images    []LostImage `json:"images"` // those that the guest could write
	Restarted bool        `json:"restarted"`
	Next      *time.Time  `json:"next,omitempty"` // when it starts again, where that was not at once
	Task      bool        `json:"task,omitempty"` // it was a task's
}

// LostImage is a disk as the end of a run left it.
type LostImage struct {
	Name      string    `json:"name"`                // "the root file system", "volume data"
	LastWrite time.Time `json:"last_write,omitzero"` // that reached the host; absent where it is not known
	Journal   string    `json:"journal"`             // clean, needs_recovery, unknown
}

func ofLoss(l driver.Loss) Loss {
	return Loss{Run: l.Run, At: l.At, Why: l.Why, RootFS: l.RootFS, Restarted: l.Restarted, Next: l.Next, Task: l.Task,
		Images: list(l.Images, func(i driver.LostImage) LostImage { return LostImage(i) })}
}
