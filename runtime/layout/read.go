package layout

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Open opens a file or a folder for reading. Neither is ever waited for, so that the runtime's poller, which os.Open asks
// with five calls more, is left out: a list of thousands of objects is nothing but this.
func Open(path string) (*os.File, error) { return open(path, unix.O_RDONLY, 0) }

func open(path string, flags int, perm fs.FileMode) (*os.File, error) {
	for {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC, uint32(perm.Perm()))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: path, Err: err}
		}
		return os.NewFile(uintptr(fd), path), nil
	}
}

// readFile is os.ReadFile by Open.
func readFile(path string) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}
