package agent

import (
	"context"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"microagent/runtime/guest/hotplug"
)

// tcpStates hears of each socket of TCP that is about to listen or ceases to, by the kernel's tracepoint
// sock:inet_sock_set_state and perf_event_open(2), on each processor that is online when it begins.
type tcpStates struct {
	events  []*os.File
	rings   [][]byte
	readers sync.WaitGroup
	stirred chan struct{} // has room for one
}

// listeners lets through what has to do with TCP_LISTEN of include/net/tcp_states.h.
const listeners = "newstate == 10 || oldstate == 10"

// hearTCPStates fails where the kernel has no such tracepoint.
func hearTCPStates() (*tcpStates, error) {
	id, err := tracepoint("events/sock/inet_sock_set_state/id")
	if err != nil {
		return nil, err
	}
	online, err := os.ReadFile("/sys/devices/system/cpu/online")
	if err != nil {
		return nil, err
	}
	t := &tcpStates{stirred: make(chan struct{}, 1)}
	cpus, err := hotplug.List(strings.TrimSpace(string(online)))
	if err != nil {
		return nil, err
	}
	for _, cpu := range cpus {
		if err := t.hear(id, cpu); err != nil {
			t.close()
			return nil, err
		}
	}
	return t, nil
}

// tracepoint reads the number of one. The file system that has it is mounted nowhere, and gone after that.
func tracepoint(path string) (uint64, error) {
	fs, err := unix.Fsopen("tracefs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return 0, os.NewSyscallError("fsopen", err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return 0, os.NewSyscallError("fsconfig", err)
	}
	mount, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_RDONLY)
	if err != nil {
		return 0, os.NewSyscallError("fsmount", err)
	}
	defer unix.Close(mount)
	fd, err := unix.Openat(mount, path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	var text [32]byte
	n, err := unix.Read(fd, text[:])
	if err != nil {
		return 0, os.NewSyscallError("read", err)
	}
	return strconv.ParseUint(strings.TrimSpace(string(text[:n])), 10, 64)
}

// hear adds a processor. What is written to the ring is never read: that there is something is enough.
func (t *tcpStates) hear(tracepoint uint64, cpu int) error {
	attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_TRACEPOINT, Config: tracepoint, Sample: 1, Wakeup: 1, Bits: unix.PerfBitDisabled}
	attr.Size = uint32(unsafe.Sizeof(attr))
	fd, err := unix.PerfEventOpen(&attr, -1, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("perf_event_open", err)
	}
	ring, err := unix.Mmap(fd, 0, 2*os.Getpagesize(), unix.PROT_READ, unix.MAP_SHARED) // one that can't be written is overwritten
	if err != nil {
		unix.Close(fd)
		return os.NewSyscallError("mmap", err)
	}
	t.rings = append(t.rings, ring)
	filter, _ := unix.BytePtrFromString(listeners)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.PERF_EVENT_IOC_SET_FILTER, uintptr(unsafe.Pointer(filter))); errno != 0 {
		unix.Close(fd)
		return os.NewSyscallError("ioctl", errno)
	}
	if err := unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_ENABLE, 0); err != nil {
		unix.Close(fd)
		return os.NewSyscallError("ioctl", err)
	}
	_ = syscall.SetNonblock(fd, true) // so that it is polled
	event := os.NewFile(uintptr(fd), "perf event")
	t.events = append(t.events, event)
	conn, err := event.SyscallConn()
	if err != nil {
		return err
	}
	t.readers.Go(func() {
		_ = conn.Read(func(uintptr) bool { // returns when the file is closed
			select {
			case t.stirred <- struct{}{}:
			default:
			}
			return false
		})
	})
	return nil
}

func (t *tcpStates) look() {
	select {
	case <-t.stirred:
	default:
	}
}

// await looks all the same after as long as nothing has changed, at first since a socket is told of before it is in the
// tables, later for a processor that was added.
func (t *tcpStates) await(ctx context.Context, stirred, gone <-chan struct{}, missing bool, quiet time.Duration) stir {
	most := sureAllThere
	if missing {
		most = sureMissing
	}
	return awaitStir(ctx, stirred, t.stirred, gone, max(lookFirst, min(quiet, most)))
}

func (t *tcpStates) close() {
	for _, e := range t.events {
		e.Close()
	}
	t.readers.Wait()
	for _, r := range t.rings {
		_ = unix.Munmap(r)
	}
}
