// Package confine starts programs with little power: from a thread that it was taken away from. capabilities(7),
// no_new_privs, landlock(7) and seccomp(2) all belong to a thread, and are inherited over clone and execve.
//
// Promised: nothing that was taken away comes back, whatever is executed, also for root. The rest of the process keeps
// what it has, which the libraries for landlock don't offer: they restrict all threads. Never: a program
// with more power than Run says, because something failed. Package machine imports it.
package confine

import (
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// Run calls f on a thread of its own, and returns when f has; the thread ends with it. The thread has no capability, no
// execve gives one, and where the kernel has landlock only the files of the rules can be opened, and of the network TCP
// is closed, unless a rule has Connect; other protocols are not. With Connect no socket can be made but those of IP and
// netlink, where the kernel has seccomp filters. A file that is open stays as it is. f gets the error of what could not be
// done.
func Run(rules []Rule, f func(error)) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: nothing else of this process may run there
		if unix.Gettid() != unix.Getpid() {
			f(confine(rules))
			return
		}
		// The main thread is what others see of the whole process. It is kept here, so that another is taken.
		Run(rules, f)
		runtime.UnlockOSThread()
	}()
	<-done
}

// confine takes the power of the calling thread away for good.
func confine(rules []Rule) error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set no_new_privs: %w", err)
	}
	// The rules name files that only a capability may reach.
	if err := landlock(rules); err != nil {
		return fmt.Errorf("landlock: %w", err)
	}
	if connects(rules) {
		if err := filterSockets(); err != nil {
			return fmt.Errorf("seccomp: %w", err)
		}
	}
	return dropCapabilities()
}

// dropCapabilities empties all five sets. The bounding set needs CAP_SETPCAP: without it, it stays, and means nothing
// under no_new_privs.
func dropCapabilities() error {
	for c := uintptr(0); ; c++ {
		err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		if errors.Is(err, unix.EPERM) {
			break
		}
		if errors.Is(err, unix.EINVAL) && c > unix.CAP_CHOWN {
			break // the kernel knows no more
		}
		if err != nil {
			return fmt.Errorf("drop capability %d from the bounding set: %w", c, err)
		}
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("clear ambient capabilities: %w", err)
	}
	var none [2]unix.CapUserData
	if err := unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0]); err != nil {
		return fmt.Errorf("clear capabilities: %w", err)
	}
	return nil
}
