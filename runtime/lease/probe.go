package lease

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"microagent/runtime/layout"
)

// Probe says whether anyone holds a lease on the image at path, and which processes took it as far as the
// kernel knows: a process that is dead by now can be among them while a VMM lives on with its lease. An image that is
// not there is held by nobody.
//
// It reads /proc/locks, where every lease is seen without touching it. There the kernel leaves out locks whose
// taker has died when it is read inside a PID namespace, so a shared lock is tried on top, never waited for, on a
// read-only descriptor, and dropped at once. Acquire outlasts such a lock instead of failing over it. What
// remains unseen is a shared lease, in a PID namespace, of a dead taker: Acquire decides, Probe only reports. A block
// device is claimed for a moment as well, since its lock is seen on its own node only.
func Probe(path string) (held bool, pids []int, err error) { return ReadLocks().Probe(path) }

// Locks are the kernel's locks at one moment, of flock(2), by inode number. Reading them makes the kernel wait for all its
// processors, some 5 ms: who probes many images reads them once, and who comes to no image does not read them.
type Locks func() map[string][]taken

// taken is a flock: "fd:01:1234", the process that took it, and whether for itself alone.
type taken struct {
	key  string
	pid  int
	only bool
}

// ReadLocks gives the locks of the moment at which the first of them is asked for.
func ReadLocks() Locks { return sync.OnceValue(readLocks) }

// readLocks reads /proc/locks. Format: proc_locks(5).
func readLocks() map[string][]taken {
	all := map[string][]taken{}
	f, err := os.Open("/proc/locks")
	if err != nil {
		return all
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		fields := strings.Fields(s.Text())
		if len(fields) < 6 || fields[1] != "FLOCK" {
			continue
		}
		if pid, err := strconv.Atoi(fields[4]); err == nil {
			inode := fields[5][strings.LastIndexByte(fields[5], ':')+1:]
			all[inode] = append(all[inode], taken{fields[5], pid, fields[3] == "WRITE"})
		}
	}
	return all
}

// Probe is the package's Probe, as of when the locks were read.
func (l Locks) Probe(path string) (held bool, pids []int, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil, nil
	}
	if err != nil {
		return false, nil, fmt.Errorf("probe lease: %w", err)
	}
	defer f.Close()
	return l.ProbeFile(f)
}

// ProbeFile is Probe of the image that f has open.
func (l Locks) ProbeFile(f *os.File) (held bool, pids []int, err error) {
	if pids = pidsOf(l.takers(f)); len(pids) > 0 {
		return true, pids, nil
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return true, pidsOf(lockers(f)), nil
	}
	if err != nil {
		return false, nil, fmt.Errorf("probe lease of %s: %w", f.Name(), err)
	}
	if info, err := f.Stat(); err == nil && IsDevice(info) && errors.Is(claim(f), unix.EBUSY) {
		return true, nil, nil
	}
	return false, nil, nil
}

// lockers lists the flocks on f's inode.
func lockers(f *os.File) []taken { return ReadLocks().takers(f) }

func pidsOf(locks []taken) (pids []int) {
	for _, t := range locks {
		pids = append(pids, t.pid)
	}
	return pids
}

// takers is lockers as of when the locks were read. On which device f is costs much to find out, and is asked only where
// something with its inode number is locked.
func (l Locks) takers(f *os.File) (list []taken) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil
	}
	locks := l()[strconv.FormatUint(st.Ino, 10)]
	if len(locks) == 0 {
		return nil
	}
	key := lockKey(f)
	for _, t := range locks {
		if t.key == key {
			list = append(list, t)
		}
	}
	return list
}

// lockKey is how /proc/locks names f's inode: "fd:01:1234", the device in hexadecimal. The device is the
// superblock's, which on btrfs and overlayfs is not what stat says: mountinfo has it.
func lockKey(f *os.File) string {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return ""
	}
	major, minor := uint64(unix.Major(st.Dev)), uint64(unix.Minor(st.Dev))
	if ma, mi, ok := superblock(f); ok {
		major, minor = ma, mi
	}
	return fmt.Sprintf("%02x:%02x:%d", major, minor, st.Ino)
}

func superblock(f *os.File) (major, minor uint64, ok bool) {
	info, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", f.Fd()))
	if err != nil {
		return 0, 0, false
	}
	id := ""
	for line := range strings.Lines(string(info)) {
		if rest, found := strings.CutPrefix(line, "mnt_id:"); found {
			id = strings.TrimSpace(rest)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || id == "" {
		return 0, 0, false
	}
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		if len(fields) < 3 || fields[0] != id {
			continue
		}
		a, b, _ := strings.Cut(fields[2], ":")
		major, err1 := strconv.ParseUint(a, 10, 32)
		minor, err2 := strconv.ParseUint(b, 10, 32)
		return major, minor, err1 == nil && err2 == nil
	}
	return 0, 0, false
}

var workspaces = filepath.Base(layout.State{}.Workspaces())

// describe names processes for a message. A supervisor works in its workspace's folder, and a VMM in a folder there.
func describe(pids []int) []string {
	var list []string
	for _, pid := range pids {
		if pid <= 0 {
			continue
		}
		workspace := workspaceOf(pid)
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		name := strings.TrimSpace(string(comm))
		switch {
		case workspace != "":
			list = append(list, fmt.Sprintf("workspace %s (pid %d)", workspace, pid))
		case name != "":
			list = append(list, fmt.Sprintf("%s (pid %d)", name, pid))
		default:
			list = append(list, fmt.Sprintf("a VMM that process %d left behind", pid))
		}
	}
	return list
}

// workspaceOf names the workspace whose supervisor or VMM a process is; "" for any other.
func workspaceOf(pid int) string {
	cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
	if err != nil {
		return ""
	}
	if filepath.Base(cwd) == layout.VMMDir {
		cwd = filepath.Dir(cwd)
	}
	if filepath.Base(filepath.Dir(cwd)) != workspaces {
		return ""
	}
	return filepath.Base(cwd)
}
