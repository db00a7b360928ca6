// Package lease says who may write a disk now. A lease is flock(2) on the image itself: it lives as long as
// any process has the open file, so a lease that was passed on to a VMM is free only when the last process
// that could write is gone. It is never an OFD or POSIX lock, because those belong to the VMM. A lease waits for
// nobody but a holder that was killed and has not come to its end yet, never creates a file and never writes a byte.
//
// On a block device the lock names the holder, and a claim keeps others off: the device is open with O_EXCL for as
// long as the lease lives, which refuses mounts and every other claim, through whatever device node. Of readers the
// claim lets one in at a time, so a shared lease only looks whether anybody has it: two machines, or two containers
// with nodes of their own, see a reader of the other side not at all.
//
// Disks are claimed through runtime/disk/target, which knows what a claim may be used for.
package lease

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"microagent/runtime/driver"
)

// Mode says what the holder may do with the image.
type Mode int

const (
	Shared    Mode = iota // any number of readers
	Exclusive             // one writer, no reader
)

func (m Mode) String() string {
	if m == Exclusive {
		return "exclusive"
	}
	return "shared"
}

// Lease is a held lock. The zero value is of no use.
type Lease struct {
	path string
	mode Mode
	file *os.File
}

// Path is the image's path as Acquire got it.
func (l *Lease) Path() string { return l.path }

// Mode is the lease's mode.
func (l *Lease) Mode() Mode { return l.mode }

// File is the open image that carries the lock: whoever inherits it shares the lease. It is open for reading,
// and for writing as well when the lease is exclusive. The lease stays its owner.
func (l *Lease) File() *os.File { return l.file }

// Close gives up this process's part of the lease.
func (l *Lease) Close() error { return l.file.Close() }

// BusyError says that an image's lease is held by someone else.
type BusyError struct {
	Path    string
	Mode    Mode     // what was asked for
	Holders []string // who holds it, as far as the kernel says: "workspace db (pid 4711)", "the mount at /mnt"
	Next    string   // what frees it, where that is known
}

func (e *BusyError) Error() string {
	if len(e.Holders) == 0 {
		return e.Path + " is in use by another process"
	}
	return e.Path + " is in use by " + strings.Join(e.Holders, ", ")
}

// Is makes a BusyError of class driver.ErrBusy.
func (e *BusyError) Is(target error) bool { return target == driver.ErrBusy }

// A refused lock is tried again for this long before it counts: Probe holds a shared lock for some microseconds,
// and nobody must be told "in use" because of it. On a busy host it may lose its turn meanwhile: while no more than such
// locks are in the way, the patience is as long as that may last.
const (
	patience     = 60 * time.Millisecond
	busyPatience = 2 * time.Second
	pause        = 3 * time.Millisecond
)

// Acquire takes the lease of the image at path. The error is a *BusyError while someone else holds one that
// excludes it, and of class driver.ErrUnsupported for an exclusive lease on a network file system, whose locks
// say nothing about other machines.
func Acquire(path string, mode Mode) (*Lease, error) {
	ctx, cancel := context.WithTimeout(context.Background(), endingLimit)
	defer cancel()
	for {
		l, err := acquire(path, mode)
		switch _, busy := errors.AsType[*BusyError](err); {
		case errors.Is(err, errReplaced):
		case busy && awaitEnding(ctx, path):
		default:
			return l, err
		}
	}
}

var errReplaced = errors.New("the file was replaced while it was being locked")

func acquire(path string, mode Mode) (*Lease, error) {
	how := unix.LOCK_SH
	if mode == Exclusive {
		how = unix.LOCK_EX
	}
	f, err := open(path, mode)
	if err != nil {
		return nil, err
	}
	keep := false
	defer func() {
		if !keep {
			f.Close()
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("lease: %w", err)
	}
	device := IsDevice(info)
	if !device && !info.Mode().IsRegular() {
		return nil, &driver.Error{Class: driver.ErrInvalid, Op: "lease", Object: path, Err: errors.New("neither a regular file nor a block device")}
	}
	if mode == Exclusive && !device {
		if err := checkLocal(f, path); err != nil {
			return nil, err
		}
	}
	if err := lock(f, path, mode, how); err != nil {
		return nil, err
	}
	switch {
	case device && mode == Shared:
		err = unclaimed(f, path)
	case !device && mode == Exclusive:
		err = unlooped(info, path)
	}
	if err != nil {
		return nil, err
	}
	now, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("lease: %w", err)
	}
	if err != nil || !os.SameFile(info, now) {
		return nil, errReplaced
	}
	keep = true
	return &Lease{path: path, mode: mode, file: f}, nil
}

func lock(f *os.File, path string, mode Mode, how int) error {
	try := func() error { return unix.Flock(int(f.Fd()), how|unix.LOCK_NB) }
	err := patiently(try, unix.EWOULDBLOCK)
	for late := time.Now().Add(busyPatience); mode == Exclusive && errors.Is(err, unix.EWOULDBLOCK) && probed(f) && time.Now().Before(late); {
		err = patiently(try, unix.EWOULDBLOCK)
	}
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		return &BusyError{Path: path, Mode: mode, Holders: describe(pidsOf(lockers(f)))}
	case err != nil:
		return fmt.Errorf("lease %s: %w", path, err)
	}
	return nil
}

// probed says whether what keeps a writer off f may be probes alone: shared locks, and none of a workspace.
func probed(f *os.File) bool {
	return !slices.ContainsFunc(lockers(f), func(t taken) bool { return t.only || workspaceOf(t.pid) != "" })
}

// patiently tries again for a while what others may keep from working for some microseconds.
func patiently(try func() error, busy error) error {
	deadline := time.Now().Add(patience)
	for {
		err := try()
		switch {
		case errors.Is(err, unix.EINTR):
		case !errors.Is(err, busy) || time.Now().After(deadline):
			return err
		default:
			time.Sleep(pause)
		}
	}
}

// Magic numbers of statfs(2) that x/sys does not name.
const (
	magicNFS  = 0x6969
	magicSMB  = 0x517b
	magicCIFS = 0xff534d42
	magicSMB2 = 0xfe534d42
)

func checkLocal(f *os.File, path string) error {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return fmt.Errorf("lease %s: %w", path, err)
	}
	name := networkName(uint32(st.Type))
	if name == "" {
		return nil
	}
	return &driver.Error{
		Class: driver.ErrUnsupported, Op: "attach for writing", Object: path,
		Err:  fmt.Errorf("it lies on %s, where a lock does not keep other machines out", name),
		Next: "copy " + filepath.Base(path) + " to a local file system, or attach it read-only",
	}
}

func networkName(magic uint32) string {
	switch magic {
	case magicNFS:
		return "NFS"
	case magicSMB, magicCIFS, magicSMB2:
		return "CIFS"
	}
	return ""
}
