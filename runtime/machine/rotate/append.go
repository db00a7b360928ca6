package rotate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Append adds line, which ends in a newline, to the log at path, of which the newest part takes at most limit bytes. It
// may be called by several processes at once: each line is whole and none is lost. What a writer that was killed left
// of its last line is a line of its own.
func Append(path string, limit int64, line []byte) error {
	f, size, err := newest(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if size > 0 && size+int64(len(line)) > limit {
		if err := os.Rename(path, Old(path)); err != nil {
			return err
		}
		next, _, err := newest(path)
		if err != nil {
			return err
		}
		defer next.Close()
		f, size = next, 0
	}
	if size > 0 {
		var last [1]byte
		if _, err := f.ReadAt(last[:], size-1); err != nil {
			return err
		}
		if last[0] != '\n' {
			line = append([]byte{'\n'}, line...)
		}
	}
	_, err = f.Write(line)
	return err
}

// newest opens the newest part and locks it, until it is closed.
func newest(path string) (f *os.File, size int64, err error) {
	for {
		if f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600); err != nil {
			return nil, 0, err
		}
		if err = lock(f); err != nil {
			f.Close()
			return nil, 0, fmt.Errorf("lock %s: %w", path, err)
		}
		mine, err := f.Stat()
		if err != nil {
			f.Close()
			return nil, 0, err
		}
		// Another writer may have turned it meanwhile.
		there, err := os.Stat(path)
		if err == nil && os.SameFile(mine, there) {
			return f, mine.Size(), nil
		}
		f.Close()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, 0, err
		}
	}
}

func lock(f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
