package initd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"microagent/runtime/disk/ext4/super"
	"microagent/runtime/guest/agent"
	"microagent/runtime/guest/proto"
	"microagent/runtime/guest/proto/wire"
)

// system is the guest that this process is the init of.
type system struct {
	log   *agent.Log
	mu    sync.Mutex         // what follows
	disks map[string]mounted // by serial
	order []string           // serials as mounted, the root first
	link  *os.File           // of a guest with a network

	helper string // that the kernel runs to load a module, once the root file system may have it
}

type mounted struct {
	device, path string
	readOnly     bool
}

var _ agent.System = (*system)(nil)

// newRoot is where the root file system is mounted before it is entered.
const newRoot = "/newroot"

// Setup mounts the root file system and enters it, then mounts the rest.
func (m *system) Setup(_ context.Context, req *wire.ConfigureRequest, own agent.Owner) error {
	guest, err := proto.GuestOf(req)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	root := req.GetRoot()
	if _, there := m.disks[root.GetSerial()]; !there {
		if anyQuota() { // now, since the initramfs with the modules goes
			loadModules(m.log, QuotaList)
		}
		if req.GetNetwork() != nil {
			loadModules(m.log, NetworkList)
		}
		if err := os.MkdirAll(newRoot, 0o755); err != nil {
			return err
		}
		fresh, err := m.attach(root, newRoot)
		if err != nil {
			return err
		}
		if err := enter(newRoot); err != nil {
			return proto.Errorf(proto.CodeFailed, "enter the root file system: %v", err)
		}
		recallHelper(m.log, m.helper)
		m.settle(root, "/", fresh, own)
		if err := (machineID{"/etc/machine-id", fresh}).Do(); err != nil && !errors.Is(err, unix.EROFS) {
			m.log.Printf("machine-id: %v", err)
		}
	}
	name := named(req.GetHostname())
	furnish(m.log, name, req.GetDirectories())
	for _, d := range req.GetMounts() {
		if err := m.mount(d, own); err != nil {
			return err
		}
	}
	act(m.log, guest, name)
	return m.joinNetwork(req.GetNetwork())
}

// attach finds, mounts and grows a disk; fresh says that it was never mounted before.
func (m *system) attach(d *wire.Mount, path string) (fresh bool, err error) {
	bad := func(code proto.Code, format string, args ...any) (bool, error) {
		return false, proto.Errorf(code, "disk %s for %s: %s", d.GetSerial(), d.GetPath(), fmt.Sprintf(format, args...))
	}
	if d.GetFs() != "ext4" {
		return bad(proto.CodeUnsupported, "file system %q", d.GetFs())
	}
	device, err := findDisk(d.GetSerial())
	if err != nil {
		return bad(proto.CodeNotFound, "%v", err)
	}
	before, err := readSuperblock(device)
	if err != nil {
		return bad(proto.CodeInvalid, "%v", err)
	}
	flags, options := uintptr(0), ""
	if d.GetReadOnly() {
		flags |= unix.MS_RDONLY
	}
	if d.GetDiscard() {
		options = "discard" // ext4(5); on a device that knows none it is a warning in the kernel's log
	}
	if wait := mmpWait(device, &before); wait > 0 && !d.GetReadOnly() {
		m.log.Printf("disk %s for %s: %s", d.GetSerial(), d.GetPath(), super.MMPReason(wait))
	}
	said := agent.ListenToKernel()
	defer said.Close()
	if err := unix.Mount(device, path, "ext4", flags, options); err != nil {
		switch {
		case d.GetReadOnly() && before.NeedsRecovery():
			return bad(proto.CodeFailed, "its journal needs recovery, which a read-only disk can't have: %v", err)
		case errors.Is(err, unix.ESRCH) && before.ROCompat&super.Quota != 0:
			return bad(proto.CodeFailed, "it has the feature %v, and the guest's kernel was installed without its module quota_v2 (%v); to add it: microagent kernel install", super.Quota, err)
		}
		if why := kernelOf(said, filepath.Base(device)); why != "" {
			return bad(proto.CodeFailed, "mount: %s (%v)", why, err)
		}
		return bad(proto.CodeFailed, "mount: %v", err)
	}
	m.disks[d.GetSerial()] = mounted{device, path, d.GetReadOnly()}
	m.order = append(m.order, d.GetSerial())
	if d.GetGrow() && !d.GetReadOnly() {
		if _, err := m.grow(d.GetSerial(), 0); err != nil {
			return bad(proto.CodeFailed, "grow: %v", err)
		}
	}
	return before.LastMount == 0, nil
}

// settle gives a fresh file system's root its owner and mode, and corrects the path after the root was entered.
func (m *system) settle(d *wire.Mount, path string, fresh bool, own agent.Owner) {
	at := m.disks[d.GetSerial()]
	at.path = path
	m.disks[d.GetSerial()] = at
	if !fresh || d.GetReadOnly() || path == "/" {
		return
	}
	uid, gid, err := own(d.GetOwner())
	if err == nil {
		err = os.Chown(path, uid, gid)
	}
	if err == nil && d.GetMode() != 0 {
		err = unix.Chmod(path, d.GetMode()&0o7777)
	}
	if err != nil {
		m.log.Printf("owner of %s: %v", path, err)
	}
}

// plugTime bounds how long a disk may take to appear that the machine is getting just now.
const plugTime = 30 * time.Second

// findDisk gives the device with a virtio serial, waiting for one that is just being plugged in.
func findDisk(serial string) (string, error) {
	if serial == "" {
		return "", errors.New("it has no serial")
	}
	deadline := time.Now().Add(plugTime)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		var seen []string
		files, _ := filepath.Glob("/sys/block/*/serial")
		for _, f := range files {
			data, err := os.ReadFile(f)
			if err != nil {
				continue
			}
			if got := strings.TrimRight(string(data), "\n"); got == serial {
				if device := "/dev/" + filepath.Base(filepath.Dir(f)); usable(device) {
					return device, nil
				}
			} else if got != "" {
				seen = append(seen, got)
			}
		}
		if time.Now().After(deadline) {
			return "", fmt.Errorf("no disk has this serial (there are: %s)", strings.Join(seen, ", "))
		}
		time.Sleep(pause)
	}
}

// usable says that a disk can be opened: one that is just being plugged in has its serial and its name before that.
func usable(device string) bool {
	fd, err := unix.Open(device, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		_ = unix.Close(fd)
	}
	return !errors.Is(err, unix.ENXIO) && !errors.Is(err, unix.ENOENT)
}

// KillAll kills every other process of the guest.
func (m *system) KillAll() {
	if os.Getpid() == 1 {
		_ = unix.Kill(-1, unix.SIGKILL)
	}
}

// Unmount brings every disk to a clean end, the root last; it can only become read-only.
func (m *system) Unmount() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var unclean []string
	for i := len(m.order) - 1; i >= 0; i-- {
		d := m.disks[m.order[i]]
		if d.readOnly {
			continue
		}
		if d.path != "/" && unix.Unmount(d.path, 0) == nil {
			continue
		}
		if err := unix.Mount("", d.path, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			unclean = append(unclean, fmt.Sprintf("%s: %v", d.path, err))
		}
	}
	unix.Sync()
	return unclean
}

// PowerOff ends the machine.
func (m *system) PowerOff() {
	m.log.Printf("power off")
	powerOff()
}
