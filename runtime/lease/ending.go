package lease

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// endingLimit is how long a process that was killed may take until its last thread has ended, which may write to a slow
// disk meanwhile.
const endingLimit = 10 * time.Second

// awaitEnding waits for the end of processes that have the image open under a lease and are ending; false when there are
// none, or ctx ends.
func awaitEnding(ctx context.Context, path string) bool {
	var image unix.Stat_t
	if unix.Stat(path, &image) != nil {
		return false
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return false
	}
	waited := false
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if s, err := stat(pid); err != nil || !s.ending || !threadHasLease(pid, &image) {
			continue
		}
		p, err := Find(pid)
		if err != nil {
			continue // it has ended
		}
		if p.Wait(ctx) != nil {
			return false
		}
		waited = true
	}
	return waited
}

// threadHasLease is hasLease for a process whose main thread, and with it what /proc/PID shows, is gone.
func threadHasLease(pid int, image *unix.Stat_t) bool {
	threads, _ := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task", "*"))
	for _, dir := range threads {
		if hasLease(dir, image) {
			return true
		}
	}
	return false
}
