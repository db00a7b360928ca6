package attach

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"microagent/runtime/disk/ext4/super"
	"microagent/runtime/disk/target"
	"microagent/runtime/driver"
)

// checkDisk refuses a user's disk whose path leads to another file than when the workspace was set up: what a manifest
// names was judged then. Device numbers are not compared, since some file systems get new ones at each boot.
func checkDisk(m driver.Mount, l *target.Claim) error {
	_, want, known := strings.Cut(m.DiskID, ":")
	if m.Kind != driver.MountDisk || !known {
		return nil
	}
	info, err := l.File().Stat()
	if err != nil {
		return fmt.Errorf("attach disk %s: %w", m.Name, err)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && strconv.FormatUint(st.Ino, 10) == want {
		return nil
	}
	return &driver.Error{
		Class: driver.ErrStale, Op: "attach disk", Object: m.Name,
		Err: fmt.Errorf("%s is another file than when this workspace was set up", m.Source), Next: "microagent apply",
	}
}

// checkFileSystem refuses what the guest could not mount.
func checkFileSystem(m driver.Mount, l *target.Claim, readOnly bool) error {
	op := "attach " + string(m.Kind)
	sb, err := super.Read(l.File())
	switch {
	case errors.Is(err, super.ErrNone):
		return &driver.Error{
			Class: driver.ErrInvalid, Op: op, Object: m.Name, Err: fmt.Errorf("%s is no ext4 file system", l.Path()),
			Next: "make one with mke2fs -t ext4, or use a volume",
		}
	case errors.Is(err, super.ErrDamaged):
		return &driver.Error{
			Class: driver.ErrInvalid, Op: op, Object: m.Name, Err: fmt.Errorf("%s: %w", l.Path(), err),
			Next: "get a whole copy of it",
		}
	case err != nil:
		return fmt.Errorf("%s %s: %w", op, m.Name, err)
	}
	if err := checkJournal(sb, op, m.Name, l.Path()); err != nil {
		return err
	}
	size, err := l.Size()
	if err != nil {
		return fmt.Errorf("%s %s: %w", op, m.Name, err)
	}
	if need := sb.Length(); need > size {
		what := "file"
		if l.Device() {
			what = "device"
		}
		return &driver.Error{
			Class: driver.ErrInvalid, Op: op, Object: m.Name,
			Err:  fmt.Errorf("%s was cut off: its file system has %d bytes, the %s %d", l.Path(), need, what, size),
			Next: "get a whole copy of it",
		}
	}
	if size%512 != 0 {
		return &driver.Error{
			Class: driver.ErrInvalid, Op: op, Object: m.Name,
			Err: fmt.Errorf("%s has %d bytes, which is no multiple of 512", l.Path(), size), Next: "truncate -s %512 " + l.Path(),
		}
	}
	if !readOnly && sb.ReadOnly() {
		return &driver.Error{
			Class: driver.ErrRefused, Op: op, Object: m.Name,
			Err:  fmt.Errorf("%s can't be mounted writable: its file system has the feature %v", l.Path(), super.ReadOnly),
			Next: "mount it read-only, or write to a copy: tune2fs -O ^read-only COPY",
		}
	}
	if !readOnly || !sb.NeedsRecovery() {
		return nil
	}
	e := &driver.Error{
		Class: driver.ErrRefused, Op: op, Object: m.Name,
		Err: errors.New("its journal was not written back, since its last writer was killed; it can't be mounted read-only like that"),
	}
	switch {
	case m.Kind == driver.MountVolume:
		e.Next = nextReplay
	case sb.Compat&super.FastCommit != 0: // e2fsck 1.47 calls it clean and loses what the fast commits hold
		e.Next = nextReplay + "; its link counts may be wrong until e2fsck -f after that"
	default:
		e.Next = "run: e2fsck -p " + l.Path()
	}
	return e
}

// checkJournal refuses what is only a journal, and what has its journal elsewhere.
func checkJournal(sb super.Superblock, op, name, path string) error {
	switch {
	case sb.IsJournal():
		return &driver.Error{
			Class: driver.ErrInvalid, Op: op, Object: name,
			Err:  fmt.Errorf("%s is the journal of another file system and no file system", path),
			Next: "give the file system itself, its journal taken off: tune2fs -f -O ^has_journal FILE",
		}
	case sb.ExternalJournal():
		return &driver.Error{
			Class: driver.ErrUnsupported, Op: op, Object: name,
			Err:  fmt.Errorf("the journal of %s lies on another device, which a guest does not get", path),
			Next: "take the journal off a copy: tune2fs -f -O ^has_journal COPY",
		}
	}
	return nil
}

const nextReplay = "mount it writable once, in any workspace, and stop that"
