package initd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"microagent/runtime/guest/agent"
	"microagent/runtime/guest/proto"
	"microagent/runtime/guest/proto/wire"
)

// MountDisk mounts a disk that was plugged in while the guest runs.
func (m *system) MountDisk(d *wire.Mount, own agent.Owner) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mount(d, own)
}

// mount mounts a disk below the root, unless it is mounted: by an earlier Configure that failed at a later disk, or a call whose
// answer was lost.
func (m *system) mount(d *wire.Mount, own agent.Owner) error {
	if _, there := m.disks[d.GetSerial()]; there {
		return nil
	}
	path := filepath.Clean("/" + d.GetPath())
	if err := os.MkdirAll(path, 0o755); err != nil {
		return proto.Errorf(proto.CodeFailed, "disk %s: make mount point: %v", d.GetSerial(), err)
	}
	fresh, err := m.attach(d, path)
	if err != nil {
		return err
	}
	m.settle(d, path, fresh, own)
	return nil
}

// UnmountDisk unmounts a disk, which writes all of it back.
func (m *system) UnmountDisk(serial string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, ok := m.disks[serial]
	switch {
	case !ok:
		return nil
	case d.path == "/":
		return proto.Errorf(proto.CodeRefused, "the root file system stays mounted")
	}
	dev, err := device(d.path)
	if err != nil {
		return err
	}
	// EINVAL: a process of the guest has unmounted it, which root may.
	if err := unix.Unmount(d.path, 0); errors.Is(err, unix.EBUSY) {
		return proto.Errorf(proto.CodeRefused, "%s is in use%s", d.path, usedBy(dev))
	} else if err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("unmount %s: %w", d.path, err)
	}
	// A process with mounts of its own may have it yet, which the kernel tells who opens the device for itself.
	f, err := os.OpenFile(d.device, os.O_RDONLY|unix.O_EXCL, 0)
	if errors.Is(err, unix.EBUSY) {
		flags := uintptr(0)
		if d.readOnly {
			flags |= unix.MS_RDONLY
		}
		again := unix.Mount(d.device, d.path, "ext4", flags, "")
		return errors.Join(proto.Errorf(proto.CodeRefused, "%s is in use by a process with mounts of its own%s", d.path, usedBy(dev)), again)
	}
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	delete(m.disks, serial)
	m.order = slices.DeleteFunc(m.order, func(s string) bool { return s == serial })
	return nil
}

// mostUsers is how many processes usedBy names.
const mostUsers = 5

// usedBy names the processes that have something of the file system with a device number open, as " by 12 (tail), 15 (sh)"; "" when
// none is found, which is so of one that is mounted on, or exported.
func usedBy(dev uint64) string {
	var users []string
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range processes {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid == os.Getpid() || !uses(dir, dev) {
			continue
		}
		name, _ := os.ReadFile(filepath.Join(dir, "comm"))
		if len(users) == mostUsers {
			users = append(users, "more")
			break
		}
		users = append(users, fmt.Sprintf("%d (%s)", pid, strings.TrimSpace(string(name))))
	}
	if len(users) == 0 {
		return ""
	}
	return " by " + strings.Join(users, ", ")
}

// uses says whether a process has its working directory, its root, its program, a file or a mapping there.
func uses(process string, dev uint64) bool {
	links := []string{"cwd", "root", "exe"}
	files, _ := os.ReadDir(filepath.Join(process, "fd"))
	for _, f := range files {
		links = append(links, "fd/"+f.Name())
	}
	for _, l := range links {
		var st unix.Stat_t
		if unix.Stat(filepath.Join(process, l), &st) == nil && st.Dev == dev {
			return true
		}
	}
	maps, _ := os.ReadFile(filepath.Join(process, "maps"))
	return strings.Contains(string(maps), fmt.Sprintf(" %02x:%02x ", unix.Major(dev), unix.Minor(dev)))
}
