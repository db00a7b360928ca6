package agent

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Files of the kernel's own file systems have no size that means anything: 0 in /proc, a page in /sys. They are made as
// they are read, and maxKernelFile bounds what one may make.
const maxKernelFile = 4 << 20

// ofKernel says whether a file is one of those.
func ofKernel(f *os.File) bool {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &fs); err != nil {
		return false
	}
	switch int64(fs.Type) {
	case unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.DEBUGFS_MAGIC, unix.TRACEFS_MAGIC, unix.CGROUP2_SUPER_MAGIC, unix.SECURITYFS_MAGIC:
		return true
	}
	return false
}

var errEndless = errors.New("it does not end, or not soon")

// wholeOf reads a file whose size does not tell how long it is.
func wholeOf(f *os.File) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(f, maxKernelFile+1))
	if err == nil && len(data) > maxKernelFile {
		err = errEndless
	}
	return data, err
}
