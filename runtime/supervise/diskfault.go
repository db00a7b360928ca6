package supervise

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"microagent/ch"
	"microagent/runtime/driver"
	"microagent/runtime/event"
	"microagent/schema/printable"
)

// Looking at the host's file systems: how often, and with how little left what a guest writes finds no room. That is for
// every VMM; QEMU tells of the error itself as well, and Cloud Hypervisor's events have none.
const (
	spacePeriod = 5 * time.Second
	spaceLeast  = 1 << 20
	faultAnew   = time.Minute // after which the same is told of again
)

// takeIOError is of a VMM that could not do what the guest asked.
func (s *supervisor) takeIOError(e ch.Event) {
	reason := e.Properties["reason"]
	if op := e.Properties["operation"]; op != "" {
		reason = op + ": " + reason
	}
	s.noteFault(driver.DiskFault{
		Disk: s.attached().NameOf(e.Properties["id"]), NoSpace: e.Properties["nospace"] == "true", Reason: printable.Line(reason), Count: 1,
	})
}

// noteFault joins what is seen of a disk with what was.
func (s *supervisor) noteFault(f driver.DiskFault) {
	f.First, f.Last = now(), now()
	s.mu.Lock()
	list := append([]driver.DiskFault(nil), s.run.DiskFaults...)
	tell := true
	for i, had := range list {
		if had.Disk == f.Disk && had.NoSpace == f.NoSpace {
			tell = f.Last.Sub(had.Last) > faultAnew
			if f.Count == 0 { // a look, which knows less than who met it
				f.Reason = had.Reason
			}
			f.First, f.Count = had.First, f.Count+had.Count
			list = append(list[:i], list[i+1:]...)
			break
		}
	}
	s.run.DiskFaults = append(list, f)
	if tell {
		s.untold = append(s.untold, f)
	}
	s.mu.Unlock()
	if tell {
		s.log.Warn("a disk has a fault", "disk", f.Disk, "full", f.NoSpace, "reason", f.Reason)
		s.tellFaults()
	}
}

// tellFaults records what is new in run.json and in the history, which may lie on the disk that is full: what finds no
// room is tried again. The reserve is not for this.
func (s *supervisor) tellFaults() {
	s.telling.Lock()
	defer s.telling.Unlock()
	s.mu.Lock()
	list := s.untold
	s.mu.Unlock()
	if len(list) == 0 || s.writeRun() != nil {
		return
	}
	for _, f := range list {
		what := event.Event{Type: event.TypeDiskFault, Message: fmt.Sprintf("%s: %s", f.Disk, f.Reason)}
		if f.NoSpace {
			what.Type, what.Message = event.TypeHostFull, "the host has no room for what the guest writes to "+f.Disk+": "+f.Reason
		}
		if record(s.state, s.spec.Workspace, what) != nil {
			return
		}
		s.mu.Lock()
		s.untold = s.untold[1:]
		s.mu.Unlock()
	}
}

// watchSpace looks at the file systems of the disks that the guest may write, while it is there.
func (s *supervisor) watchSpace(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		t := time.NewTicker(spacePeriod)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
			for _, d := range s.attached() {
				if d.Machine.ReadOnly {
					continue
				}
				if left, full := outOfSpace(int(d.File().Fd())); full {
					s.noteFault(driver.DiskFault{Disk: d.Words(), NoSpace: true, Reason: fmt.Sprintf("its file system on the host has %d KiB left", left>>10)})
				}
			}
			s.tellFaults()
		}
	}()
	return func() { cancel(); <-done }
}

// outOfSpace says whether a file that may still grow has no room for that, and what is left.
func outOfSpace(fd int) (left int64, full bool) {
	var file unix.Stat_t
	var system unix.Statfs_t
	if unix.Fstat(fd, &file) != nil || file.Mode&unix.S_IFMT != unix.S_IFREG || unix.Fstatfs(fd, &system) != nil {
		return 0, false
	}
	left = int64(system.Bavail) * system.Bsize
	return left, left < spaceLeast && file.Blocks*512 < file.Size
}
