package lease

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Inheritors lists the processes that have the lease of the image at path, be it that they took it or that they
// inherited it: those whose /proc/PID/fdinfo shows a flock on it. Processes of other users are seen by root only.
func Inheritors(path string) ([]Process, error) {
	var want unix.Stat_t
	if err := unix.Stat(path, &want); err != nil {
		return nil, fmt.Errorf("find holders of %s: %w", path, err)
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("find holders of %s: %w", path, err)
	}
	var list []Process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || !hasLease(filepath.Join("/proc", e.Name()), &want) {
			continue
		}
		if p, err := Find(pid); err == nil {
			list = append(list, p)
		}
	}
	return list, nil
}

// hasLease says whether a process or thread, by its folder in /proc, has the image open with a flock on it. One that ends
// meanwhile has not.
func hasLease(proc string, want *unix.Stat_t) bool {
	fds, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil {
		return false
	}
	for _, fd := range fds {
		var st unix.Stat_t
		if unix.Stat(filepath.Join(proc, "fd", fd.Name()), &st) != nil || st.Dev != want.Dev || st.Ino != want.Ino {
			continue
		}
		info, err := os.ReadFile(filepath.Join(proc, "fdinfo", fd.Name()))
		if err == nil && strings.Contains(string(info), "FLOCK") {
			return true
		}
	}
	return false
}
