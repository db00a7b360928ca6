// Package filetime gives files on Linux times of any year that their file system holds: the standard library's Chtimes
// carries times as an int64 of nanoseconds, which ends in 2262. It never follows a symlink, and nothing it does leaves
// the root.
package filetime

import (
	"os"
	"path"
	"time"

	"golang.org/x/sys/unix"
)

// Set gives the file at name in root, a symlink itself where it is one, when as the times of its last access and
// change. Errors are of *fs.PathError.
func Set(root *os.Root, name string, when time.Time) error {
	dir, err := root.Open(path.Dir(name))
	if err != nil {
		return err
	}
	defer dir.Close()
	stamp, err := unix.TimeToTimespec(when)
	if err == nil {
		err = unix.UtimesNanoAt(int(dir.Fd()), path.Base(name), []unix.Timespec{stamp, stamp}, unix.AT_SYMLINK_NOFOLLOW)
	}
	if err != nil {
		return &os.PathError{Op: "utimensat", Path: name, Err: err}
	}
	return nil
}
