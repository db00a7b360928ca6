package disk

import (
	"errors"
	"io/fs"
	"testing"

	"golang.org/x/sys/unix"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/build"
	"microagent/runtime/disk/layer"
	"microagent/runtime/driver"
)

func TestClasses(t *testing.T) {
	for _, c := range []struct {
		err, class error
		next       bool
	}{
		{&fs.PathError{Op: "write", Path: "x", Err: unix.ENOSPC}, driver.ErrNoSpace, true},
		{&layer.Error{Entry: "x", Err: unix.EDQUOT}, driver.ErrNoSpace, false},
		{&fs.PathError{Op: "open", Path: "x", Err: unix.ENOENT}, driver.ErrNotFound, false},
		{&fs.PathError{Op: "publish", Path: "x", Err: unix.EEXIST}, driver.ErrExists, false},
		{ext4.ErrInvalid, driver.ErrInvalid, false},
		{&build.NoSpaceError{Have: 1, Need: 5 << 20}, driver.ErrNoSpace, true},
		{unix.EFBIG, driver.ErrInvalid, true},
	} {
		err := sizeError("make", "x", 1<<50, c.err)
		if !errors.Is(err, c.class) || (driver.Next(err) != "") != c.next {
			t.Errorf("%v: class of %v, next %q", c.err, err, driver.Next(err))
		}
	}
}
