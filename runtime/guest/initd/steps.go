package initd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// A step brings the machine a bit further.
type step interface {
	Do() error
	String() string
}

// directory makes a directory, unless it is there.
type directory struct {
	path string
	mode fs.FileMode
}

func (d directory) Do() error {
	if err := os.MkdirAll(d.path, d.mode.Perm()); err != nil {
		return err
	}
	return os.Chmod(d.path, d.mode)
}

func (d directory) String() string { return "directory " + d.path }

// mount mounts a kernel file system; one that is mounted already is fine.
type mount struct {
	fstype, path, options string
	flags                 uintptr
}

func (m mount) Do() error {
	if err := os.MkdirAll(m.path, 0o755); err != nil {
		return err
	}
	err := unix.Mount(m.fstype, m.path, m.fstype, m.flags, m.options)
	if errors.Is(err, unix.EBUSY) {
		return nil
	}
	return err
}

func (m mount) String() string { return fmt.Sprintf("mount %s on %s", m.fstype, m.path) }

// symlink makes a symlink, unless the name is taken.
type symlink struct{ path, target string }

func (s symlink) Do() error {
	if err := os.Symlink(s.target, s.path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

func (s symlink) String() string { return "symlink " + s.path }

// setting writes a value of the kernel's.
type setting struct{ path, value string }

func (s setting) Do() error { return os.WriteFile(s.path, []byte(s.value), 0) }

func (s setting) String() string { return s.path }

// loopback brings up the interface lo.
type loopback struct{}

func (loopback) Do() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, ifr); err != nil {
		return err
	}
	ifr.SetUint16(ifr.Uint16() | unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}

func (loopback) String() string { return "interface lo" }

const quiet = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// early is done before the host can reach the guest.
var early = []step{
	mount{"proc", "/proc", "", quiet},
	mount{"sysfs", "/sys", "", quiet},
	mount{"devtmpfs", "/dev", "mode=0755", unix.MS_NOSUID},
}

// ahead is what every guest needs in its root file system, and no disk: it is done before the host is told of the guest, so that
// one that others are copies of has done it for them.
var ahead = []step{
	mount{"devpts", "/dev/pts", "mode=0620,gid=5,ptmxmode=0666", unix.MS_NOSUID | unix.MS_NOEXEC},
	mount{"tmpfs", "/dev/shm", "mode=1777", unix.MS_NOSUID | unix.MS_NODEV},
	mount{"cgroup2", "/sys/fs/cgroup", "", quiet},
	symlink{"/dev/fd", "/proc/self/fd"},
	symlink{"/dev/stdin", "/proc/self/fd/0"},
	symlink{"/dev/stdout", "/proc/self/fd/1"},
	symlink{"/dev/stderr", "/proc/self/fd/2"},
	loopback{},
	// As container runtimes have it, where the network is the container's own: any user may listen on any port, and ping.
	setting{"/proc/sys/net/ipv4/ip_unprivileged_port_start", "0"},
	setting{"/proc/sys/net/ipv4/ping_group_range", "0 2147483647"},
}
