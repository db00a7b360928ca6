package qemu

import (
	"errors"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// opened are files that were inherited, by the path that the API has for them. They are used in the place of opening the
// path, which this process may have no power to do. A disk among them carries its lease with it.
type opened map[string]*os.File

// set reads "fd=N,path=P" and takes the descriptor over.
func (o opened) set(text string) error {
	number, path, ok := strings.Cut(text, ",path=")
	number, isFD := strings.CutPrefix(number, "fd=")
	if !ok || !isFD || path == "" {
		return errors.New("fd=N,path=P is needed")
	}
	fd, err := strconv.ParseUint(number, 10, 31)
	if err != nil {
		return err
	}
	file, err := inheritedFile(int(fd), path)
	if err != nil {
		return err
	}
	o[path] = file
	return nil
}

// open gives the file at path. What was inherited has the access that it was opened with, and shares its locks.
func (o opened) open(path string, flags int) (*os.File, error) {
	have, ok := o[path]
	if !ok {
		return os.OpenFile(path, flags, 0)
	}
	fd, err := unix.FcntlInt(have.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "dup", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}
