package attach

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// reserveSize is room for a run's story, several times over, and for its name.
const reserveSize = 64 << 10

// A Reserve is room on the workspace's file system that is given back when the story of a run can't be written for
// want of it: a guest may fill the host's disk, and its end is to be known all the same. The file has no name and goes
// with the process.
type Reserve struct {
	mu   sync.Mutex
	file *os.File
}

// NewReserve takes the room. A full disk is an error now, before a guest runs; where nothing can be reserved, nothing is.
func NewReserve(dir string) (*Reserve, error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err == nil {
		if err = unix.Fallocate(fd, 0, 0, reserveSize); err == nil {
			return &Reserve{file: os.NewFile(uintptr(fd), dir)}, nil
		}
		unix.Close(fd)
	}
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return nil, fmt.Errorf("reserve %d bytes in %s: %w", reserveSize, dir, err)
	}
	return &Reserve{}, nil
}

// Free gives the room back, and says whether there was any.
func (r *Reserve) Free() bool {
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file == nil {
		return false
	}
	r.file.Close()
	r.file = nil
	return true
}
