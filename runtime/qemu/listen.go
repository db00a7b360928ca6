package qemu

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// errSocketInUse says that another instance serves the path.
var errSocketInUse = errors.New("already in use by another running instance")

// listenAPI opens the API's socket. A path is guarded by an open-file-description lock on PATH.lock, which stays
// for ever; what a killed instance left at the path is removed. done gives everything back.
func listenAPI(t target) (listener net.Listener, done func() error, err error) {
	if t.fd >= 0 {
		file, err := inheritedFile(t.fd, "api-socket")
		if err != nil {
			return nil, nil, err
		}
		listener, err := net.FileListener(file)
		if err = errors.Join(err, file.Close()); err != nil {
			return nil, nil, fmt.Errorf("api-socket: %w", err)
		}
		return listener, func() error { return nil }, nil
	}
	guard, err := os.OpenFile(t.path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("api-socket: %w", err)
	}
	if err := ofdLock(guard, unix.F_WRLCK); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("API socket %s is %w", t.path, errSocketInUse), guard.Close())
	}
	if info, err := os.Lstat(t.path); err == nil && info.Mode().Type() == os.ModeSocket {
		if err := os.Remove(t.path); err != nil {
			return nil, nil, errors.Join(fmt.Errorf("api-socket: %w", err), guard.Close())
		}
	}
	listener, err = net.ListenUnix("unix", &net.UnixAddr{Name: t.path, Net: "unix"})
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("api-socket: %w", err), guard.Close())
	}
	return listener, guard.Close, nil
}
