// Package target is where a disk lies: a regular file or a block device. Everything that has a disk's size, claims it,
// makes it longer or puts a new one there asks this package, so that nothing else assumes that a disk is a file that
// can be truncated, renamed or searched for holes.
//
// Promised: a new disk appears whole or not at all, and in the place of nothing. A file gets its name when it lies on
// the host's disk (linkat); a device, which has its name already, gets the block that holds the superblock last, after
// all others lie there, so that what was broken off never looks like a file system. A device is looked at before
// anything is written to it: what holds anything but zeros, or what we left unfinished, is never written over.
// Nothing is taken for zeros that was not made so.
package target

import (
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"microagent/runtime/driver"
	"microagent/runtime/lease"
)

// Target is a place for one disk.
type Target interface {
	// Path is its name, as it was given.
	Path() string
	// Claim takes the right to read the disk that is there, or to write it, and to know its size; errors as of
	// lease.Acquire, fs.ErrNotExist where nothing is.
	Claim(mode lease.Mode) (*Claim, error)
	// Draft begins a new disk. The error is of class driver.ErrExists where one is already, driver.ErrRefused where a
	// device holds something else, driver.ErrBusy where somebody has the device.
	Draft(perm fs.FileMode) (Draft, error)
}

// Draft is a disk that is being made. It reads as zeros where nothing was written, and is as long as the last byte
// written or as it was truncated to, like a new file.
type Draft interface {
	io.WriterAt
	// Truncate sets the length; longer than a device is unix.ENOSPC.
	Truncate(size int64) error
	// Discard gives back what holds n bytes from at, which are needed no more: what is read there afterwards means
	// nothing. The error is none where the bytes can't be given back and nobody will see them.
	Discard(at, n int64) error
	// Writeback advises to write n bytes from at to the host's disk soon.
	Writeback(at, n int64)
	// Publish makes the disk appear, when all of it lies on the host's disk.
	Publish() error
	// Close ends the draft. Without Publish before it there is no disk.
	Close() error
}

// At is the target of that name: the device that is there, or a file.
func At(path string) Target {
	if info, err := os.Stat(path); err == nil && lease.IsDevice(info) {
		return Device(path)
	}
	return File(path)
}

// Claim is a disk under its lease, which ends when it is closed.
type Claim struct {
	*lease.Lease
	device bool
}

func claim(path string, mode lease.Mode) (*Claim, error) {
	l, err := lease.Acquire(path, mode)
	if err != nil {
		return nil, err
	}
	info, err := l.File().Stat()
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("claim %s: %w", path, err)
	}
	return &Claim{l, lease.IsDevice(info)}, nil
}

// Device says whether the disk is a block device.
func (c *Claim) Device() bool { return c.device }

// Size is the disk's length in bytes.
func (c *Claim) Size() (int64, error) {
	f := c.File()
	if c.device {
		n, err := unix.IoctlGetInt(int(f.Fd()), unix.BLKGETSIZE64)
		if err != nil {
			return 0, &fs.PathError{Op: "measure", Path: f.Name(), Err: err}
		}
		return int64(n), nil
	}
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Grow makes the disk size bytes long, unless it is longer already. A device grows where it was made: the error is of
// class driver.ErrUnsupported.
func (c *Claim) Grow(size int64) error {
	have, err := c.Size()
	if err != nil || have >= size {
		return err
	}
	if c.device {
		return &driver.Error{
			Class: driver.ErrUnsupported, Op: "grow", Object: c.Path(),
			Err:  fmt.Errorf("it is a block device of %d bytes, and %d are asked for", have, size),
			Next: "make the device larger where it was made; what is on it grows with it when its workspace starts",
		}
	}
	if err := c.File().Truncate(size); err != nil {
		return err
	}
	return c.File().Sync()
}

// writeback is advice; where it is not known nothing is lost.
func writeback(f *os.File, at, n int64) {
	_ = unix.SyncFileRange(int(f.Fd()), at, n, unix.SYNC_FILE_RANGE_WRITE)
}

// errNoRoom is the error of who writes behind a device's end.
func errNoRoom(path string, have, want int64) error {
	return &fs.PathError{Op: fmt.Sprintf("make a disk of %d bytes on the %d of", want, have), Path: path, Err: unix.ENOSPC}
}
