package agent

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// children starts processes and reaps them, and every orphan that the kernel gives to process 1.
type children struct {
	mu   sync.Mutex
	ends map[int]func(syscall.WaitStatus) // by pid, of those that are not reaped

	died    chan os.Signal
	stirred *bell // rung when a process was started, and when some were reaped
	short   *shortage
}

func newChildren(stirred *bell) *children {
	return &children{ends: map[int]func(syscall.WaitStatus){}, died: make(chan os.Signal, 1), stirred: stirred, short: watchShortage()}
}

// listen has the kernel tell of children that end, which reap then takes.
func (c *children) listen() { signal.Notify(c.died, unix.SIGCHLD) }

// start runs a process; ended is called once, when it was reaped.
func (c *children) start(path string, argv []string, attr *syscall.ProcAttr, ended func(syscall.WaitStatus)) (int, error) {
	// The lock keeps the reaper from the pid until it is known.
	c.mu.Lock()
	defer c.mu.Unlock()
	pid, err := behind(func() (int, error) { return syscall.ForkExec(path, argv, attr) })
	if err != nil {
		return 0, err
	}
	c.ends[pid] = ended
	c.stirred.ring()
	return pid, nil
}

// started says whether a process is one of those that were started here and are not reaped.
func (c *children) started(pid int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ends[pid] != nil
}

// kill signals a process (or its group, for a negative pid) that was not reaped: its number can't belong to
// another one.
func (c *children) kill(pid int, sig syscall.Signal) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ends[max(pid, -pid)] == nil {
		return unix.ESRCH
	}
	return syscall.Kill(pid, sig)
}

// reap collects what ended until ctx ends.
func (c *children) reap(ctx context.Context) {
	c.listen()
	defer signal.Stop(c.died)
	for {
		for c.one() {
			c.stirred.ring()
		}
		select {
		case <-c.died:
		case <-ctx.Done():
			return
		}
	}
}

// one reaps one process; false when none has ended.
func (c *children) one() bool {
	c.mu.Lock()
	var status syscall.WaitStatus
	pid, err := syscall.Wait4(-1, &status, unix.WNOHANG, nil)
	ended := c.ends[pid]
	if err == nil && pid > 0 {
		delete(c.ends, pid)
	}
	c.mu.Unlock()
	if errors.Is(err, unix.EINTR) {
		return true
	}
	if err != nil || pid <= 0 {
		return false
	}
	if ended != nil {
		ended(status)
	}
	return true
}
