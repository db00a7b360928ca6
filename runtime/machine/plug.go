package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"microagent/ch"
	"microagent/runtime/layout"
)

// unplugLimit is how long a guest may take to let go of a disk that it has unmounted. Linux waits 5 s for who might press
// the button of a PCI Express slot again.
const unplugLimit = 30 * time.Second

// ErrPlugged says that a guest has not let go of a disk.
var ErrPlugged = errors.New("the guest has not let go of the disk")

// Fixed says whether a disk stays for as long as the VM is there. Those that it was started with do: cloud-hypervisor keeps the
// lease that it inherited also when it has closed the disk, and QEMU's are in no slot of their own.
func (vm *VM) Fixed(serial string) bool { return vm.cold[serial] }

// Room is how many more disks can be plugged in, next to so many that are there.
func (vm *VM) Room(disks int) int {
	if vm.spec.Choice.Kind == CloudHypervisor {
		return max(0, roomCloudHypervisor-disks)
	}
	room := roomAdapter - (disks - len(vm.cold))
	if vm.spec.Copy != nil || vm.spec.Save != nil { // then those that it was started with share ports
		room -= (len(vm.cold) + roomShared - 1) / roomShared
	}
	return max(0, room)
}

// A PCI bus of cloud-hypervisor has 32 slots, of which disks get what is left by the host bridge and our devices; the adapter
// has root ports.
const (
	roomCloudHypervisor = 24
	roomAdapter         = 4
	roomShared          = 8
)

// Plug gives the guest another disk, and the VMM its lease.
func (vm *VM) Plug(ctx context.Context, d Disk, lease *os.File) error {
	path := vm.spec.path(d.Path)
	config := vm.spec.disk(d)
	if vm.spec.Choice.Kind == CloudHypervisor {
		if config.Path = new(vm.linkPath(d.Serial)); !canLandlock() {
			config.Path = new(path)
		} else if err := vm.link(lease, path, *config.Path); err != nil {
			return vm.vmmError(ctx, "add disk to VM", err)
		}
	} else if err := vm.hand(path, lease); err != nil {
		return vm.vmmError(ctx, "add disk to VM", err)
	}
	if _, err := vm.client.AddDisk(ctx, config); err != nil {
		return errors.Join(vm.vmmError(ctx, "add disk to VM", err), vm.unlink(d.Serial))
	}
	return nil
}

// Unplug takes a disk, which the guest has unmounted, from it. It returns when the VMM has closed it; ErrPlugged says that it has
// not.
func (vm *VM) Unplug(ctx context.Context, serial string) error {
	removed, asked := vm.removals.state(serial)
	if err := vm.client.RemoveDevice(ctx, serial); err == nil {
		vm.removals.ask(serial)
	} else if !asked { // who was asked before may be at it, or may have done it
		return vm.vmmError(ctx, "remove disk from VM", err)
	}
	limit := time.NewTimer(unplugLimit)
	defer limit.Stop()
	select {
	case <-removed:
	case <-vm.process.exited:
	case <-ctx.Done():
		return ctx.Err()
	case <-limit.C:
		return vm.vmmError(ctx, "remove disk from VM", fmt.Errorf("%w within %s", ErrPlugged, unplugLimit))
	}
	return vm.unlink(serial)
}

// hand gives the adapter an open file for a path, which it uses for what is plugged next.
func (vm *VM) hand(path string, file *os.File) error {
	name, err := json.Marshal(path)
	if err != nil {
		return err
	}
	_, _, err = vm.handing.WriteMsgUnix(name, unix.UnixRights(int(file.Fd())), nil)
	return err
}

// linkPath is the name by which cloud-hypervisor opens a disk that is plugged in, in the one folder that its rules have from its
// start for such: it can get no others later.
func (vm *VM) linkPath(serial string) string {
	return filepath.Join(vm.spec.Folder, layout.PluggedDir, serial)
}

// link gives the very file that is leased the name, whatever lies at path by now.
func (vm *VM) link(lease *os.File, path, name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	err := layout.Link(lease, name)
	if errors.Is(err, unix.EXDEV) || errors.Is(err, unix.EPERM) {
		return fmt.Errorf("%w: %s is on another file system than the state directory, and landlock lets the VMM open it only from its start", errors.ErrUnsupported, path)
	}
	return err
}

func (vm *VM) unlink(serial string) error {
	if err := os.Remove(vm.linkPath(serial)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// handingPair is a socket to hand files over, and its other end for the adapter.
func handingPair() (ours *net.UnixConn, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	own := os.NewFile(uintptr(fds[0]), "handing")
	theirs = os.NewFile(uintptr(fds[1]), "handing")
	conn, err := net.FileConn(own)
	if err = errors.Join(err, own.Close()); err != nil {
		return nil, nil, errors.Join(err, theirs.Close())
	}
	return conn.(*net.UnixConn), theirs, nil
}

// takeRemoval follows the events of disks that are gone.
func (vm *VM) takeRemoval(e ch.Event) {
	if e.Is("vm", "device-removed") {
		vm.removals.done(e.Properties["id"])
	}
}
