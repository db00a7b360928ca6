package supervise

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/super"
	"microagent/runtime/driver"
	"microagent/runtime/guest/proto"
	"microagent/runtime/layout"
	"microagent/runtime/lease"
	"microagent/runtime/machine"
	"microagent/runtime/volume"
)

const rootSerial = "root"

// attachment is a disk of the workspace: host side, guest side and lease.
type attachment struct {
	disk  machine.Disk
	mount proto.Mount
	kind  driver.MountKind // "" for the root file system
	name  string
	lease *lease.Lease
}

// attach takes the leases of everything the workspace attaches, all or none, and notes the holder of volumes.
func (s *supervisor) attach() (err error) {
	defer func() {
		if err != nil {
			s.release()
		}
	}()
	if err := s.attachRoot(); err != nil {
		return err
	}
	for i, m := range s.spec.Workspace.Mounts {
		a, err := s.attachMount(i, m)
		if err != nil {
			return err
		}
		s.disks = append(s.disks, a)
	}
	for _, a := range s.disks {
		if a.kind != driver.MountVolume {
			continue
		}
		h := driver.Holder{
			Workspace: s.spec.Workspace.Name, PID: s.self.PID, BootID: s.self.BootID, Start: s.self.Start,
			ReadOnly: a.disk.ReadOnly, Since: now(),
		}
		if err := volume.WriteHolder(s.state, a.name, h); err != nil {
			return err
		}
	}
	return nil
}

func (s *supervisor) release() {
	for _, a := range s.disks {
		a.lease.Close()
	}
	s.disks = nil
}

func (s *supervisor) attachRoot() error {
	name := s.spec.Workspace.Name
	l, err := lease.Acquire(s.folder.RootFS(), lease.Exclusive)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &driver.Error{
			Class: driver.ErrCorrupt, Op: "start workspace", Object: name, Err: errors.New("its root file system is missing"),
			Next: "microagent delete " + name + ", and create it again",
		}
	case errors.Is(err, driver.ErrBusy):
		return &driver.Error{
			Class: driver.ErrBusy, Op: "start workspace", Object: name, Err: fmt.Errorf("its root file system: %w", err),
			Next: "microagent halt " + name,
		}
	case err != nil:
		return fmt.Errorf("start workspace %s: %w", name, err)
	}
	s.disks = append(s.disks, attachment{
		disk:  machine.Disk{Serial: rootSerial, Path: "./" + layout.RootFSFile},
		mount: proto.Mount{Serial: rootSerial, Path: "/", Grow: true},
		lease: l,
	})
	info, err := l.File().Stat()
	if err != nil {
		return fmt.Errorf("start workspace %s: %w", name, err)
	}
	if want := s.spec.Workspace.DiskSize; want > info.Size() {
		if err := l.File().Truncate(want); err != nil {
			return fmt.Errorf("grow root file system of workspace %s: %w", name, err)
		}
	}
	return nil
}

func (s *supervisor) attachMount(i int, m driver.Mount) (attachment, error) {
	serial := fmt.Sprintf("m%02d", i)
	a := attachment{
		kind: m.Kind, name: m.Name,
		disk:  machine.Disk{Serial: serial, ReadOnly: m.ReadOnly || m.Kind == driver.MountBundle},
		mount: proto.Mount{Serial: serial, Path: m.Path, Owner: m.Owner, Mode: m.Mode},
	}
	a.mount.ReadOnly = a.disk.ReadOnly
	switch m.Kind {
	case driver.MountVolume:
		a.disk.Path = s.state.VolumeImage(m.Name)
		a.mount.Grow = !a.disk.ReadOnly
	case driver.MountBundle:
		a.disk.Path = s.state.CachedDisk(m.Source)
	case driver.MountDisk:
		a.disk.Path = m.Source
	default:
		return a, &driver.Error{Class: driver.ErrInvalid, Op: "attach", Object: m.Path, Err: fmt.Errorf("unknown kind %q", m.Kind)}
	}
	if !filepath.IsAbs(a.disk.Path) {
		return a, &driver.Error{Class: driver.ErrInvalid, Op: "attach " + string(m.Kind), Object: m.Name, Err: errors.New("its path is not absolute")}
	}
	mode := lease.Exclusive
	if a.disk.ReadOnly {
		mode = lease.Shared
		if m.Kind == driver.MountVolume {
			if err := replay(m.Name, a.disk.Path); err != nil {
				return a, err
			}
		}
	}
	l, err := lease.Acquire(a.disk.Path, mode)
	if errors.Is(err, driver.ErrBusy) && m.Kind == driver.MountVolume {
		l, err = s.reclaimVolume(m.Name, mode, err)
	}
	if err != nil {
		return a, s.attachError(m, a.disk.Path, err)
	}
	a.lease = l
	if m.Kind == driver.MountVolume {
		// Only now nobody can delete it any more: a deletion takes the lease before its record says so.
		if err := s.checkVolume(m); err != nil {
			l.Close()
			return a, err
		}
	}
	if err := checkDisk(m, l); err != nil {
		l.Close()
		return a, err
	}
	if err := checkFileSystem(m, l, a.disk.ReadOnly); err != nil {
		l.Close()
		return a, err
	}
	return a, nil
}

// checkVolume refuses a volume that was deleted and made anew since the workspace was planned.
func (s *supervisor) checkVolume(m driver.Mount) error {
	var meta layout.Meta
	err := layout.ReadJSON(s.state.VolumeRecord(m.Name), &meta)
	if errors.Is(err, fs.ErrNotExist) || err == nil && meta.Deleting {
		return s.noVolume(m)
	}
	if err != nil {
		return fmt.Errorf("attach volume %s: %w", m.Name, err)
	}
	if m.Source != "" && meta.ID != m.Source {
		return &driver.Error{
			Class: driver.ErrStale, Op: "attach volume", Object: m.Name,
			Err: errors.New("it was deleted and made anew since this workspace was set up"), Next: "apply again, or create the workspace again",
		}
	}
	return nil
}

// checkDisk refuses a user's disk whose path leads to another file than when the workspace was set up: what a manifest
// names was judged then. Device numbers are not compared, since some file systems get new ones at each boot.
func checkDisk(m driver.Mount, l *lease.Lease) error {
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

func (s *supervisor) noVolume(m driver.Mount) error {
	e := &driver.Error{Class: driver.ErrNotFound, Op: "attach volume", Object: m.Name, Err: errors.New("there is no such volume"),
		Next: volume.NextMissing(m.Name)}
	if _, err := os.Lstat(s.state.VolumeRecord(m.Name)); err == nil {
		e.Err = fmt.Errorf("its image %s is gone", s.state.VolumeImage(m.Name))
		e.Next = "put the image back, or give it up: microagent volume delete " + m.Name
	}
	return e
}

func (s *supervisor) attachError(m driver.Mount, path string, err error) error {
	op := "attach " + string(m.Kind)
	if busy, ok := errors.AsType[*lease.BusyError](err); ok {
		if m.Kind == driver.MountVolume {
			return volume.Busy(s.state, op, m.Name, busy)
		}
		e := &driver.Error{Class: driver.ErrBusy, Op: op, Object: m.Name, Err: errors.New("it is in use by another process")}
		if len(busy.Holders) > 0 {
			e.Err = errors.New("it is in use by " + strings.Join(busy.Holders, ", "))
			e.Next = "stop what uses " + path
		}
		return e
	}
	if errors.Is(err, fs.ErrNotExist) && m.Kind == driver.MountVolume {
		return s.noVolume(m)
	}
	if errors.Is(err, fs.ErrNotExist) {
		e := &driver.Error{Class: driver.ErrNotFound, Op: op, Object: m.Name, Err: fmt.Errorf("%s is not there", path)}
		if m.Kind == driver.MountBundle {
			e.Next = "apply again to build it"
		}
		return e
	}
	return &driver.Error{Op: op, Object: m.Name, Err: err, Next: driver.Next(err)}
}

// checkFileSystem refuses what the guest could not mount.
func checkFileSystem(m driver.Mount, l *lease.Lease, readOnly bool) error {
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
	info, err := l.File().Stat()
	if err != nil {
		return fmt.Errorf("%s %s: %w", op, m.Name, err)
	}
	if need := sb.Length(); need > info.Size() {
		return &driver.Error{
			Class: driver.ErrInvalid, Op: op, Object: m.Name,
			Err:  fmt.Errorf("%s was cut off: its file system has %d bytes, the file %d", l.Path(), need, info.Size()),
			Next: "get a whole copy of it",
		}
	}
	if info.Size()%512 != 0 {
		return &driver.Error{
			Class: driver.ErrInvalid, Op: op, Object: m.Name,
			Err: fmt.Errorf("%s has %d bytes, which is no multiple of 512", l.Path(), info.Size()), Next: "truncate -s %512 " + l.Path(),
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

const nextReplay = "mount it writable once, in any workspace, and stop that"

// replay writes back what the journal of a volume still holds, since a guest can't mount it read-only otherwise. It does
// nothing while anybody holds the volume: whoever does has replayed it or is about to.
func replay(name, path string) error {
	const op = "attach volume"
	l, err := lease.Acquire(path, lease.Exclusive)
	if errors.Is(err, driver.ErrBusy) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", op, name, err)
	}
	defer l.Close()
	info, err := l.File().Stat()
	if err != nil {
		return fmt.Errorf("%s %s: %w", op, name, err)
	}
	if err := ext4.Recover(l.File(), info.Size()); err != nil {
		return &driver.Error{Class: driver.ErrCorrupt, Op: op, Object: name, Err: fmt.Errorf("replay its journal: %w", err),
			Next: "mount it writable once, in any workspace, or run: e2fsck -p " + path}
	}
	return nil
}

// nameDisks puts names in the place of the serials by which the guest knows its disks.
func (s *supervisor) nameDisks(text string) string {
	for _, a := range s.disks {
		name := "the root file system"
		if a.kind != "" {
			name = fmt.Sprintf("%s %s at %s", a.kind, a.name, a.mount.Path)
		}
		text = strings.ReplaceAll(text, "disk "+a.disk.Serial+" for "+a.mount.Path+":", name+":")
		text = strings.ReplaceAll(text, "disk "+a.disk.Serial+":", name+":")
	}
	return text
}

func (s *supervisor) leaseFiles() []*os.File {
	var files []*os.File
	for _, a := range s.disks {
		files = append(files, a.lease.File())
	}
	return files
}
