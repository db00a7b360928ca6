package agent

import (
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// ahead is the agent's own precedence, sched(7): before all that runs in the guest, which waits for it, and without
// interrupting for what has just come, so that more of that gathers. A guest's one CPU spends most of what it spends on
// packets and output on going to and fro between the agent and who takes them.
var ahead = unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_BATCH, Nice: -11}

// GoAhead gives all of this process's threads, and those to come, the agent's precedence. Processes that it starts have none.
func GoAhead() error {
	for done := map[string]bool{}; ; {
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		before := len(done)
		for _, t := range threads {
			if done[t.Name()] {
				continue
			}
			done[t.Name()] = true
			tid, err := strconv.Atoi(t.Name())
			if err != nil {
				return err
			}
			if err := unix.SchedSetAttr(tid, &ahead, 0); err != nil {
				return os.NewSyscallError("sched_setattr", err)
			}
		}
		if len(done) == before {
			return nil // each thread that began meanwhile was begun by one that is ahead
		}
	}
}

// behind runs f on a thread without precedence, which what it starts inherits.
func behind(f func() (int, error)) (int, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	own, err := unix.SchedGetAttr(0, 0)
	if err != nil || (own.Policy == unix.SCHED_NORMAL && own.Nice == 0) {
		return f()
	}
	if err := unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_NORMAL}, 0); err != nil {
		return 0, os.NewSyscallError("sched_setattr", err)
	}
	defer func() { _ = unix.SchedSetAttr(0, own, 0) }()
	return f()
}
