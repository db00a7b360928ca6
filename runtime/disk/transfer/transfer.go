// Package transfer copies files between the host and a disk that no guest has at the moment, without a mount and
// without root. What a guest wrote is hostile: symlinks of the disk are resolved inside it, and on the host
// nothing outside of the destination is written, no device, no setuid and no link that leads out of the copy.
//
// Reading takes the disk's shared lease and sees through a dirty journal without touching it; writing takes the
// exclusive one, replays the journal, and changes the file system by transactions in its own journal. Neither
// ever waits for a lease. cmd wires Offline; workspace uses the host's side for its running guests.
package transfer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/super"
	"microagent/runtime/disk/target"
	"microagent/runtime/driver"
	"microagent/runtime/lease"
)

// Entry is a file on its way.
type Entry struct {
	Name   string      // slash-separated, relative to what is copied; "." is that itself
	Mode   fs.FileMode // type, permissions, setuid, setgid, sticky
	Time   time.Time   // of modification; ext4 has it to 2446, which is more than an int64 of nanoseconds
	Size   int64       // of a regular file; -1 while it is not known
	Target string      // of a symlink
	// Link is the name of an earlier regular file that this one is the same as.
	Link string
}

// Offline is the driver.Copier for disks that nobody uses.
type Offline struct{}

var _ driver.Copier = Offline{}

// disk is an image under its lease.
type disk struct {
	*target.Claim
	end  driver.GuestEnd
	size int64
}

func open(op string, end driver.GuestEnd, mode lease.Mode) (*disk, error) {
	c, err := target.At(end.Image).Claim(mode)
	if busy, ok := errors.AsType[*lease.BusyError](err); ok {
		e := &driver.Error{Class: driver.ErrBusy, Op: op, Object: end.Disk, Err: errors.New("its disk is in use by another process")}
		if len(busy.Holders) > 0 {
			e.Err = errors.New("its disk is in use by " + strings.Join(busy.Holders, ", "))
		}
		if e.Next = busy.Next; e.Next == "" {
			e.Next = "stop what uses " + end.Image
		}
		for _, h := range busy.Holders {
			if name, ok := strings.CutPrefix(h, "workspace "); ok {
				name, _, _ = strings.Cut(name, " ")
				e.Next = "microagent halt " + name
			}
		}
		return nil, e
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &driver.Error{Class: driver.ErrNotFound, Op: op, Object: end.Disk, Err: fmt.Errorf("its disk %s is not there", end.Image)}
	}
	if err != nil {
		return nil, wrap(op, end.Disk, err)
	}
	size, err := c.Size()
	if err != nil {
		c.Close()
		return nil, wrap(op, end.Disk, err)
	}
	return &disk{c, end, size}, nil
}

// leaveToTheGuest advises what the guest's kernel can do about a disk that this program can't read or write.
func leaveToTheGuest(err error, workspace string) error {
	e, ok := err.(*driver.Error)
	switch {
	case !ok || e.Next != "":
	case workspace == "" && errors.Is(e, driver.ErrCorrupt):
		e.Next = "e2fsck can mend it"
	case workspace == "" && errors.Is(e, driver.ErrUnsupported):
		e.Next = "mount it in a workspace, and copy while that runs"
	case errors.Is(e, driver.ErrCorrupt):
		e.Next = "e2fsck can mend it, or the guest's kernel when it is mounted: microagent start " + workspace
	case errors.Is(e, driver.ErrUnsupported):
		e.Next = "copy while it runs: microagent start " + workspace
	}
	return err
}

// wrap says what was being done to what, and finds the class of what was said below.
func wrap(op, object string, err error) error {
	if err == nil {
		return nil
	}
	if e, ok := err.(*driver.Error); ok {
		return e
	}
	e := &driver.Error{Op: op, Object: object, Err: err, Next: driver.Next(err)}
	switch {
	case errors.Is(err, super.ErrNone):
		e.Class = driver.ErrInvalid
		e.Next = "name a disk that was made with mke2fs -t ext4"
	case errors.Is(err, ext4.ErrCorrupt):
		e.Class = driver.ErrCorrupt
	case errors.Is(err, ext4.ErrUnsupported):
		e.Class = driver.ErrUnsupported
	case errors.Is(err, ext4.ErrTooLarge):
		e.Class = driver.ErrNoSpace
	case errors.Is(err, ext4.ErrInvalid):
		e.Class = driver.ErrInvalid
	case errors.Is(err, fs.ErrNotExist):
		e.Class = driver.ErrNotFound
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		e.Class = driver.ErrNoSpace
		e.Next = "free some space on the host"
	case errors.Is(err, os.ErrPermission):
		e.Class = driver.ErrRefused
	}
	return e
}

// problem is an error that the caller's words cause.
func problem(class error, op, object, next, format string, args ...any) error {
	return &driver.Error{Class: class, Op: op, Object: object, Err: fmt.Errorf(format, args...), Next: next}
}
