package initd

import (
	"fmt"
	"math"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"microagent/runtime/guest/agent"
	"microagent/runtime/guest/proto"
)

// The calls of linux/fs.h: FIFREEZE is _IOWR('X', 119, int), FITHAW _IOWR('X', 120, int), FITRIM _IOWR('X', 121, struct
// fstrim_range).
const (
	fiFreeze = 0xC0045877
	fiThaw   = 0xC0045878
	fiTrim   = 0xC0185879
)

// trimRange is struct fstrim_range: bytes of the file system. Length is the sum of what was trimmed afterwards.
type trimRange struct{ Start, Length, Least uint64 }

// place is the directory that a disk's file system is mounted at.
type place struct{ *os.File }

// open opens the root of a file system that is written to.
func (m *system) open(serial string) (place, error) {
	m.mu.Lock()
	d, ok := m.disks[serial]
	m.mu.Unlock()
	switch {
	case !ok:
		return place{}, proto.Errorf(proto.CodeNotFound, "no disk %s is mounted", serial)
	case d.readOnly:
		return place{}, proto.Errorf(proto.CodeRefused, "disk %s is mounted read-only", serial)
	}
	dir, err := os.OpenFile(d.path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOATIME, 0)
	if err != nil {
		return place{}, err
	}
	var at, device unix.Stat_t
	if err = unix.Fstat(int(dir.Fd()), &at); err == nil {
		err = unix.Stat(d.device, &device)
	}
	if err == nil && at.Dev != device.Rdev {
		err = proto.Errorf(proto.CodeRefused, "disk %s is not what is mounted at %s any more", serial, d.path)
	}
	if err != nil {
		_ = dir.Close()
		return place{}, err
	}
	return place{dir}, nil
}

// Freezer opens a file system to freeze it.
func (m *system) Freezer(serial string) (agent.Freezer, error) {
	at, err := m.open(serial)
	if err != nil {
		return nil, err
	}
	return at, nil
}

func (p place) Sync() error   { return p.failed("sync", unix.Syncfs(int(p.Fd()))) }
func (p place) Freeze() error { return p.failed("freeze", p.ioctl(fiFreeze, nil)) }
func (p place) Thaw() error   { return p.failed("thaw", p.ioctl(fiThaw, nil)) }

func (p place) failed(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w", what, p.Name(), err)
}

func (p place) ioctl(request uintptr, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, p.Fd(), request, uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}

// Trim discards what a mounted file system does not use, and says how many bytes the kernel says that was.
func (m *system) Trim(serial string) (int64, error) {
	at, err := m.open(serial)
	if err != nil {
		return 0, err
	}
	defer at.Close()
	all := trimRange{Length: math.MaxUint64}
	if err := at.ioctl(fiTrim, unsafe.Pointer(&all)); err != nil {
		return 0, at.failed("trim", err)
	}
	return int64(min(all.Length, math.MaxInt64)), nil
}
