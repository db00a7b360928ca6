package disk

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/build"
	"microagent/runtime/driver"
)

// wrap makes err the reason of an error about object.
func wrap(op, object string, err error) error {
	e := &driver.Error{Op: op, Object: object, Err: err}
	if driver.ClassName(err) != "" {
		return e
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Class = driver.ErrNotFound
	case errors.Is(err, fs.ErrExist):
		e.Class = driver.ErrExists
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		e.Class = driver.ErrNoSpace
		e.Next = driver.NextNoSpace
	case errors.Is(err, ext4.ErrInvalid):
		e.Class = driver.ErrInvalid
	case errors.Is(err, ext4.ErrTooLarge):
		e.Class = driver.ErrNoSpace
	}
	return e
}

// sizeError is wrap for errors of the builder, which may come from the size that was asked for.
func sizeError(op, object string, size int64, err error) error {
	if full, ok := errors.AsType[*build.NoSpaceError](err); ok {
		return &driver.Error{
			Class: driver.ErrNoSpace, Op: op, Object: object, Err: full,
			Next: fmt.Sprintf("give it a size of at least %d MiB", full.Need>>20),
		}
	}
	if errors.Is(err, unix.EFBIG) {
		return &driver.Error{
			Class: driver.ErrInvalid, Op: op, Object: object,
			Err:  fmt.Errorf("the host's file system holds no file of %d bytes", size),
			Next: "choose a smaller size, or a state directory (--state-dir) on XFS or btrfs",
		}
	}
	return wrap(op, object, err)
}
