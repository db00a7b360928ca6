package supervise

import (
	"testing"
	"testing/synctest"
	"time"

	"microagent/ch"
	"microagent/runtime/driver"
)

// TestDiskFaults: what the VMM tells and what a look at the host's file system finds is one fault of a disk, with the words
// of who met it.
func TestDiskFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := restarting(t, driver.WorkspaceSpec{Name: "one"})
		met := ch.Event{Properties: map[string]string{"id": "m07", "operation": "write", "nospace": "true", "reason": "No space left on device"}}
		s.takeIOError(met)
		time.Sleep(time.Second)
		s.takeIOError(met)
		s.noteFault(driver.DiskFault{Disk: "disk m07", NoSpace: true, Reason: "a look"})
		s.takeIOError(ch.Event{Properties: map[string]string{"id": "m07", "operation": "read", "nospace": "false", "reason": "Input/output error\x1b[2J"}})
		list := s.snapshot().DiskFaults
		if len(list) != 2 || list[0].Count != 2 || list[0].Reason != "write: No space left on device" || list[0].Last.Sub(list[0].First) != time.Second ||
			list[1].NoSpace || list[1].Reason != `read: Input/output error\x1b[2J` {
			t.Errorf("%+v", list)
		}
		if shown := readRun(t, s).DiskFaults; len(shown) != 2 { // whatever becomes of this process
			t.Errorf("in run.json: %+v", shown)
		}
		if len(s.untold) != 0 { // without a project there is no history
			t.Errorf("untold: %+v", s.untold)
		}
	})
}
