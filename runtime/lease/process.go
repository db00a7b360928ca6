package lease

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Process names one process for ever: a process id alone is used again, after a reboot or sooner.
type Process struct {
	PID    int    `json:"pid"`
	BootID string `json:"boot_id"` // /proc/sys/kernel/random/boot_id
	Start  uint64 `json:"start"`   // clock ticks since boot, field 22 of /proc/PID/stat
}

var bootID = sync.OnceValues(func() (string, error) {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(data)), err
})

// Self is the calling process.
func Self() (Process, error) { return Find(os.Getpid()) }

// Find is the process that has pid now.
func Find(pid int) (Process, error) {
	boot, err := bootID()
	if err != nil {
		return Process{}, err
	}
	s, err := stat(pid)
	if err != nil {
		return Process{}, err
	}
	return Process{PID: pid, BootID: boot, Start: s.start}, nil
}

// status is what /proc/PID/stat tells of a process; format: proc_pid_stat(5).
type status struct {
	start  uint64 // clock ticks since boot
	over   bool   // its main thread has ended
	ending bool   // that has, and others have not: until they have, the files of the process are open
}

// stat reads the status of a process. The name in field 2 can hold blanks and brackets: what counts begins after the
// last ')'.
func stat(pid int) (s status, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return s, err
	}
	_, rest, ok := strings.Cut(string(data[strings.LastIndexByte(string(data), ')')+1:]), " ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 20 {
		return s, fmt.Errorf("read /proc/%d/stat: unknown format", pid)
	}
	s.over = fields[0] == "Z" || fields[0] == "X"
	threads, err := strconv.Atoi(fields[17])
	s.ending = s.over && threads > 1
	if err == nil {
		s.start, err = strconv.ParseUint(fields[19], 10, 64)
	}
	return s, err
}

// Alive says whether this very process still runs. A zombie does not, though its last threads may not have ended: Wait
// waits for them as well.
func (p Process) Alive() bool {
	s, ok := p.stat()
	return ok && !s.over
}

// stat is the status of this very process, if there is one.
func (p Process) stat() (status, bool) {
	boot, err := bootID()
	if err != nil || p.PID <= 0 || boot != p.BootID {
		return status{}, false
	}
	s, err := stat(p.PID)
	return s, err == nil && s.start == p.Start
}

// open gives a pidfd of this very process, or nil when it is gone.
func (p Process) open() (*os.File, error) {
	if p.PID <= 0 {
		return nil, nil
	}
	fd, err := unix.PidfdOpen(p.PID, unix.PIDFD_NONBLOCK)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open process %d: %w", p.PID, err)
	}
	f := os.NewFile(uintptr(fd), "pidfd")
	if s, ok := p.stat(); !ok || s.over && !s.ending {
		f.Close()
		return nil, nil
	}
	return f, nil
}

// Signal sends sig to this very process; one that is gone is a success.
func (p Process) Signal(sig syscall.Signal) error {
	f, err := p.open()
	if f == nil {
		return err
	}
	defer f.Close()
	err = unix.PidfdSendSignal(int(f.Fd()), sig, nil, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("signal process %d: %w", p.PID, err)
	}
	return nil
}

// Wait returns when this very process is gone, its files closed.
func (p Process) Wait(ctx context.Context) error {
	f, err := p.open()
	if f == nil {
		return err
	}
	defer f.Close()
	raw, err := f.SyscallConn()
	if err != nil {
		return fmt.Errorf("wait for process %d: %w", p.PID, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var pollErr error
	err = raw.Read(func(fd uintptr) bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		if err != nil && !errors.Is(err, unix.EINTR) {
			pollErr = err
		}
		return n > 0 || pollErr != nil
	})
	switch {
	case ctx.Err() != nil && errors.Is(err, os.ErrDeadlineExceeded):
		return ctx.Err()
	case err != nil || pollErr != nil:
		return fmt.Errorf("wait for process %d: %w", p.PID, errors.Join(err, pollErr))
	}
	return nil
}

// Kill ends this very process by SIGKILL and waits until it is gone.
func (p Process) Kill(ctx context.Context) error {
	f, err := p.open()
	if f == nil {
		return err
	}
	defer f.Close()
	if err := unix.PidfdSendSignal(int(f.Fd()), unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill process %d: %w", p.PID, err)
	}
	return p.Wait(ctx)
}

// AnyAlive says whether one of the processes runs.
func AnyAlive(pids []int) bool {
	for _, pid := range pids {
		if p, err := Find(pid); err == nil && p.Alive() {
			return true
		}
	}
	return false
}
