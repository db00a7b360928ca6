package qemu

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// mostHanded bounds a message of one file: its path in JSON.
const mostHanded = 64 << 10

// handed is a socket of packets on which files come while the adapter runs, each with its path in JSON. It is read when a disk is
// plugged: who plugs has sent its file before.
type handed int

// set reads "fd=N" and takes the descriptor over.
func (h *handed) set(text string) error {
	t := target{fd: -1}
	if err := t.Set(text); err != nil {
		return err
	}
	if t.fd < 0 {
		return errors.New("fd=N is needed")
	}
	unix.CloseOnExec(t.fd)
	*h = handed(t.fd)
	return nil
}

// take takes over all that have come.
func (h handed) take(o opened) error {
	if h < 0 {
		return nil
	}
	name, rights := make([]byte, mostHanded), make([]byte, unix.CmsgSpace(4))
	for {
		n, rn, _, _, err := unix.Recvmsg(int(h), name, rights, unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN), err == nil && n == 0:
			return nil
		case err != nil:
			return fmt.Errorf("files that are handed over: %w", err)
		}
		messages, err := unix.ParseSocketControlMessage(rights[:rn])
		if err != nil {
			return fmt.Errorf("files that are handed over: %w", err)
		}
		for _, m := range messages {
			fds, err := unix.ParseUnixRights(&m)
			if err != nil || len(fds) != 1 {
				return fmt.Errorf("files that are handed over: %d in a message (%w)", len(fds), err)
			}
			file := os.NewFile(uintptr(fds[0]), "handed")
			var path string
			if err := json.Unmarshal(name[:n], &path); err != nil {
				return errors.Join(fmt.Errorf("files that are handed over: %w", err), file.Close())
			}
			if err := o.put(path, file); err != nil {
				return err
			}
		}
	}
}
