package qemu

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
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
	return o.put(path, file)
}

// put takes a file over, in the place of one that was handed for the path before: disks have copies of their own.
func (o opened) put(path string, file *os.File) error {
	err := o.drop(path)
	o[path] = file
	return err
}

// drop closes the file of a path, and lets go of the lease that it carries unless a disk has a copy.
func (o opened) drop(path string) error {
	file, ok := o[path]
	if !ok {
		return nil
	}
	delete(o, path)
	return file.Close()
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

// openable gives the inherited file of a path, nil for none, in a form that a program which inherits it can open anew by
// its name in /proc/self/fd. That takes the right to the file itself: root without capabilities has none to those of
// other users, and gets a copy in memory.
func (o opened) openable(path string) (*os.File, error) {
	file, ok := o[path]
	if !ok {
		return nil, nil
	}
	again, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", file.Fd()))
	if err == nil {
		return file, again.Close()
	}
	if !errors.Is(err, fs.ErrPermission) {
		return nil, err
	}
	fd, err := unix.MemfdCreate(filepath.Base(path), unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("copy %s to memory: %w", path, err)
	}
	memory := os.NewFile(uintptr(fd), path)
	if _, err := io.Copy(memory, io.NewSectionReader(file, 0, math.MaxInt64)); err != nil {
		return nil, errors.Join(fmt.Errorf("copy %s to memory: %w", path, err), memory.Close())
	}
	o[path] = memory
	return memory, file.Close()
}
