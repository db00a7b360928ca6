package ch

import (
	"context"
	"fmt"
	"net"
	"os"
)

// DialFunc opens a connection to a unix socket.
type DialFunc func(ctx context.Context) (net.Conn, error)

// Unix dials the socket at path. A path longer than 107 bytes can't be dialled: see UnixAt.
func Unix(path string) DialFunc {
	return func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
}

// UnixAt dials the socket called name in dir, however long the path of dir is: it goes through
// /proc/self/fd. dir must stay open as long as the function is used.
func UnixAt(dir *os.File, name string) DialFunc {
	return func(ctx context.Context) (net.Conn, error) {
		raw, err := dir.SyscallConn()
		if err != nil {
			return nil, fmt.Errorf("dial %s: %w", name, err)
		}
		var conn net.Conn
		var dialErr error
		err = raw.Control(func(fd uintptr) {
			var d net.Dialer
			conn, dialErr = d.DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d/%s", fd, name))
		})
		if err != nil {
			return nil, fmt.Errorf("dial %s: %w", name, err)
		}
		return conn, dialErr
	}
}
