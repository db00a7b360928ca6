// Package confine takes power away from one thread of this process, and with it from every program that the thread
// starts: capabilities(7), no_new_privs and landlock(7) all belong to the thread, and are inherited over clone and execve.
//
// Promised: nothing that was taken away comes back, whatever is executed, also for root. The rest of the process keeps
// what it has. Never: a program that is started with less than what Thread says it did. Package machine imports it.
package confine

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Thread confines the calling thread for good: the goroutine must have locked it, and must end without unlocking it. No
// capability is left, no execve gives one, and where the kernel has landlock only the files of the rules can be opened
// and no TCP port. An open file stays as it is.
func Thread(rules []Rule) error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set no_new_privs: %w", err)
	}
	// The rules name files that only a capability may reach.
	if err := landlock(rules); err != nil {
		return fmt.Errorf("landlock: %w", err)
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
