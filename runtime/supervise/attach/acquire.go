package attach

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"microagent/runtime/disk/target"
	"microagent/runtime/driver"
	"microagent/runtime/guest/proto"
	"microagent/runtime/layout"
	"microagent/runtime/lease"
	"microagent/runtime/machine"
	"microagent/runtime/volume"
)

// acquirer takes leases for a workspace.
type acquirer struct {
	state     layout.State
	workspace string
}

// acquireRoot takes the acquireRoot file system, and makes its image as large as it is to be.
func (a acquirer) acquireRoot(size int64) (Disk, error) {
	name := a.workspace
	l, err := target.At(a.state.Workspace(name).RootFS()).Claim(lease.Exclusive)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Disk{}, &driver.Error{
			Class: driver.ErrCorrupt, Op: "start workspace", Object: name, Err: errors.New("its root file system is missing"),
			Next: nextRootFS(name),
		}
	case errors.Is(err, driver.ErrBusy):
		return Disk{}, &driver.Error{
			Class: driver.ErrBusy, Op: "start workspace", Object: name, Err: fmt.Errorf("its root file system: %w", err),
			Next: "microagent halt " + name,
		}
	case err != nil:
		return Disk{}, fmt.Errorf("start workspace %s: %w", name, err)
	}
	if err := l.Grow(size); err != nil {
		l.Close()
		return Disk{}, fmt.Errorf("grow root file system of workspace %s: %w", name, err)
	}
	return Disk{
		Machine: machine.Disk{Serial: rootSerial, Path: "./" + layout.RootFSFile},
		Mount:   proto.Mount{Serial: rootSerial, Path: "/", Grow: true, Discard: true},
		claim:   l,
	}, nil
}

// acquireMount takes the i-th acquireMount.
func (a acquirer) acquireMount(i int, m driver.Mount) (Disk, error) {
	serial := fmt.Sprintf("m%02d", i)
	d := Disk{
		Kind: m.Kind, Name: m.Name, Asked: m,
		Machine: machine.Disk{Serial: serial, ReadOnly: m.ReadOnly || m.Kind == driver.MountBundle},
		Mount:   proto.Mount{Serial: serial, Path: m.Path, Owner: m.Owner, Mode: m.Mode},
	}
	d.Mount.ReadOnly = d.Machine.ReadOnly
	switch m.Kind {
	case driver.MountVolume:
		d.Machine.Path = a.state.VolumeImage(m.Name)
		d.Mount.Grow, d.Mount.Discard = !d.Machine.ReadOnly, !d.Machine.ReadOnly
	case driver.MountBundle:
		d.Machine.Path = a.state.CachedDisk(m.Source)
	case driver.MountDisk:
		d.Machine.Path = m.Source
	default:
		return d, &driver.Error{Class: driver.ErrInvalid, Op: "attach", Object: m.Path, Err: fmt.Errorf("unknown kind %q", m.Kind)}
	}
	if !filepath.IsAbs(d.Machine.Path) {
		return d, &driver.Error{Class: driver.ErrInvalid, Op: "attach " + string(m.Kind), Object: m.Name, Err: errors.New("its path is not absolute")}
	}
	mode := lease.Exclusive
	if d.Machine.ReadOnly {
		mode = lease.Shared
		if m.Kind == driver.MountVolume {
			if err := replay(m.Name, d.Machine.Path); err != nil {
				return d, err
			}
		}
	}
	l, err := target.At(d.Machine.Path).Claim(mode)
	if errors.Is(err, driver.ErrBusy) && m.Kind == driver.MountVolume {
		l, err = a.reclaimVolume(m.Name, mode, err)
	}
	if err != nil {
		return d, a.explain(m, d.Machine.Path, err)
	}
	if err := a.check(m, l, d.Machine.ReadOnly); err != nil {
		l.Close()
		return d, err
	}
	d.claim = l
	return d, nil
}

// check refuses what is not the disk that was meant, or what the guest could not mount.
func (a acquirer) check(m driver.Mount, l *target.Claim, readOnly bool) error {
	if m.Kind == driver.MountVolume {
		// Only now nobody can delete it any more: a deletion takes the lease before its record says so.
		if err := a.checkVolume(m); err != nil {
			return err
		}
	}
	if err := checkDisk(m, l); err != nil {
		return err
	}
	return checkFileSystem(m, l, readOnly)
}

// nextRootFS is what to do about a workspace that has a record and no root file system. A name with a dot is one that an
// apply gives.
func nextRootFS(name string) string {
	if strings.Contains(name, ".") {
		return "a new one is made by: microagent apply"
	}
	return "a new one is made by: microagent reset " + name + " --yes"
}

// nextVolume is what to do about a volume that is another one than the workspace was set up with, or is gone: one that is
// made anew under its name is not taken for it.
func (a acquirer) nextVolume(m driver.Mount) string {
	switch {
	case strings.Contains(a.workspace, "."):
		return "the workspace is set up anew by: microagent apply"
	case m.Source == "":
		return volume.NextMissing(m.Name)
	}
	return "create the workspace again, after: microagent delete --yes " + a.workspace
}

// nextBundle is what to do about a bundle whose disk left the cache.
func nextBundle(workspace string) string {
	if strings.Contains(workspace, ".") {
		return "it is built again by: microagent apply"
	}
	return "create the workspace again, which builds it: microagent delete --yes " + workspace
}

// explainMissing says what is missing of a volume.
func (a acquirer) explainMissing(m driver.Mount) error {
	e := &driver.Error{Class: driver.ErrNotFound, Op: "attach volume", Object: m.Name, Err: errors.New("there is no such volume"),
		Next: a.nextVolume(m)}
	if _, err := os.Lstat(a.state.VolumeRecord(m.Name)); err == nil {
		e.Err = fmt.Errorf("its image %s is gone", a.state.VolumeImage(m.Name))
		e.Next = volume.NextGone(m.Name)
	}
	return e
}

// explain says why a lease was not to be had.
func (a acquirer) explain(m driver.Mount, path string, err error) error {
	op := "attach " + string(m.Kind)
	if busy, ok := errors.AsType[*lease.BusyError](err); ok {
		if m.Kind == driver.MountVolume {
			return volume.Busy(a.state, op, m.Name, busy)
		}
		e := &driver.Error{Class: driver.ErrBusy, Op: op, Object: m.Name, Err: errors.New("it is in use by another process")}
		if len(busy.Holders) > 0 {
			e.Err = errors.New("it is in use by " + strings.Join(busy.Holders, ", "))
			e.Next = "stop what uses " + path
		}
		if busy.Next != "" {
			e.Next = busy.Next
		}
		return e
	}
	if errors.Is(err, fs.ErrNotExist) && m.Kind == driver.MountVolume {
		return a.explainMissing(m)
	}
	if errors.Is(err, fs.ErrNotExist) {
		e := &driver.Error{Class: driver.ErrNotFound, Op: op, Object: m.Name, Err: fmt.Errorf("%s is not there", path)}
		if e.Next = "put the file back, or set the workspace up without it"; m.Kind == driver.MountBundle {
			e.Next = nextBundle(a.workspace)
		}
		return e
	}
	return &driver.Error{Op: op, Object: m.Name, Err: err, Next: driver.Next(err)}
}
