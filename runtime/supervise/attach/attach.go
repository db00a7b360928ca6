// Package attach takes what a run needs of the host before it begins, all or none: the leases of its disks, looked at
// closely enough that the guest can mount them, and room to write the end of its story.
//
// Promised: nothing is left taken when something is refused; a disk is the one that the workspace was set up with. Never:
// a second writer of a disk; a lease taken from a process that lives.
package attach

import (
	"fmt"
	"os"
	"strings"
	"time"

	"microagent/runtime/disk/target"
	"microagent/runtime/driver"
	"microagent/runtime/guest/proto"
	"microagent/runtime/layout"
	"microagent/runtime/lease"
	"microagent/runtime/machine"
	"microagent/runtime/volume"
)

const rootSerial = "root"

// Disk is a disk of the workspace: host side, guest side and lease.
type Disk struct {
	Machine machine.Disk
	Mount   proto.Mount
	Kind    driver.MountKind // "" for the root file system
	Name    string
	// Asked is the mount that it is of, the zero value for the root file system.
	Asked driver.Mount
	// Leaving says that the guest has no use for it any more, and the VMM is about to close it.
	Leaving bool
	claim   *target.Claim
}

// Size is what the host has of it, in bytes.
func (d Disk) Size() (int64, error) {
	return d.claim.Size()
}

// Disks are all that a workspace has attached, its root file system first.
type Disks []Disk

// Acquire takes the leases of everything that a workspace attaches, all or none, and notes self as the holder of its
// volumes.
func Acquire(state layout.State, self lease.Process, spec driver.WorkspaceSpec) (Disks, error) {
	a := acquirer{state: state, workspace: spec.Name}
	disks, err := a.acquire(spec, self)
	if err != nil {
		disks.Release()
		return nil, err
	}
	return disks, nil
}

// acquire gives what it has taken also with an error.
func (a acquirer) acquire(spec driver.WorkspaceSpec, self lease.Process) (disks Disks, err error) {
	root, err := a.acquireRoot(spec.DiskSize)
	if err != nil {
		return nil, err
	}
	disks = append(disks, root)
	for i, m := range spec.Mounts {
		d, err := a.acquireMount(i, m)
		if err != nil {
			return disks, err
		}
		disks = append(disks, d)
	}
	for _, d := range disks {
		if err := a.noteHolder(d, self); err != nil {
			return disks, err
		}
	}
	return disks, nil
}

// noteHolder notes self as the holder of a volume.
func (a acquirer) noteHolder(d Disk, self lease.Process) error {
	if d.Kind != driver.MountVolume {
		return nil
	}
	return volume.WriteHolder(a.state, d.Name, driver.Holder{
		Workspace: a.workspace, PID: self.PID, BootID: self.BootID, Start: self.Start, ReadOnly: d.Machine.ReadOnly, Since: time.Now().UTC(),
	})
}

// File is what its lease is held by.
func (d Disk) File() *os.File { return d.claim.File() }

// Words name it to people.
func (d Disk) Words() string { return nameOf(d.Kind, d.Name) }

// NameOf is Words of the disk with a serial, or the serial.
func (d Disks) NameOf(serial string) string {
	for _, one := range d {
		if one.Machine.Serial == serial {
			return one.Words()
		}
	}
	return "disk " + serial
}

// Release gives the leases back.
func (d Disks) Release() {
	for _, one := range d {
		one.claim.Close()
	}
}

// Volume is the writable or read-only volume of a name, the root file system when that is "".
func (d Disks) Volume(name string) (Disk, bool) {
	kind := driver.MountVolume
	if name == "" {
		kind = ""
	}
	for _, one := range d {
		if one.Kind == kind && one.Name == name {
			return one, true
		}
	}
	return Disk{}, false
}

// Machine is what the VMM is to attach.
func (d Disks) Machine() []machine.Disk {
	var disks []machine.Disk
	for _, one := range d {
		disks = append(disks, one.Machine)
	}
	return disks
}

// Leases are the files that the leases are held by, for a child that is to hold them as well.
func (d Disks) Leases() []*os.File {
	var files []*os.File
	for _, one := range d {
		files = append(files, one.claim.File())
	}
	return files
}

// NameIn puts names in the place of the serials by which the guest knows its disks.
func (d Disks) NameIn(text string) string {
	for _, one := range d {
		name := "the root file system"
		if one.Kind != "" {
			name = fmt.Sprintf("%s %s at %s", one.Kind, one.Name, one.Mount.Path)
		}
		text = strings.ReplaceAll(text, "disk "+one.Machine.Serial+" for "+one.Mount.Path+":", name+":")
		text = strings.ReplaceAll(text, "disk "+one.Machine.Serial+":", name+":")
	}
	return text
}
