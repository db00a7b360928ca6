package agent

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"microagent/runtime/guest/proto"
)

// tcp is a connection to a server of this guest. It is no net.TCPConn: what that asks the kernel of both ends of a
// connection takes an emulated guest as long as to make one.
type tcp struct {
	*os.File
	answered atomic.Bool // the server has sent its end
}

var loopback = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}

// reachTCP connects to an address: a name's resolver would take room in the guest's program.
func reachTCP(ctx context.Context, port uint16) (*tcp, error) {
	for _, address := range loopback {
		conn, err := connectTCP(ctx, socketAddress(address, port))
		switch {
		case err == nil:
			return conn, nil
		case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, unix.EADDRNOTAVAIL), errors.Is(err, unix.EAFNOSUPPORT):
		default:
			return nil, proto.Errorf(proto.CodeFailed, "%v", err)
		}
	}
	return nil, nothingListens(port)
}

func socketAddress(address netip.Addr, port uint16) unix.Sockaddr {
	if address.Is4() {
		return &unix.SockaddrInet4{Port: int(port), Addr: address.As4()}
	}
	return &unix.SockaddrInet6{Port: int(port), Addr: address.As16()}
}

// connectTCP makes a connection. Over loopback there is an answer when the first connect returns, and the second tells it;
// only a server whose queue is full is waited for.
func connectTCP(ctx context.Context, to unix.Sockaddr) (*tcp, error) {
	family := unix.AF_INET
	if _, six := to.(*unix.SockaddrInet6); six {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err = again(fd, to); errors.Is(err, unix.EINPROGRESS) {
		err = again(fd, to)
	}
	if err != nil && !errors.Is(err, unix.EALREADY) {
		_ = unix.Close(fd)
		return nil, err
	}
	conn := &tcp{File: os.NewFile(uintptr(fd), "connection to a server")}
	if err != nil {
		err = conn.await(ctx, to)
	}
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// again is connect(2), which on a socket that is connecting says how far that is.
func again(fd int, to unix.Sockaddr) error {
	for {
		if err := unix.Connect(fd, to); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// await waits for the answer to a connect, or for ctx's end.
func (c *tcp) await(ctx context.Context, to unix.Sockaddr) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	var answer error
	if err := raw.Write(func(fd uintptr) bool {
		answer = again(int(fd), to)
		return !errors.Is(answer, unix.EALREADY)
	}); err != nil {
		return errors.Join(context.Cause(ctx), err)
	}
	return answer
}

// CloseWrite tells the server our end.
func (c *tcp) CloseWrite() error {
	return c.control(func(fd int) error { return unix.Shutdown(fd, unix.SHUT_WR) })
}

// reset ends both directions at once, and the server's next call with an error.
func (c *tcp) reset() {
	_ = c.control(func(fd int) error { // fails only where it is closed already
		return unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	})
	_ = c.Close()
}

func (c *tcp) control(f func(fd int) error) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var said error
	if err := raw.Control(func(fd uintptr) { said = f(int(fd)) }); err != nil {
		return err
	}
	return said
}
