package ports

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"microagent/runtime/driver"
	"microagent/schema/spec"
)

// taken and absent say what is wrong with an address: another program has it, or the host has not.
func taken(err error) bool { return errors.Is(err, unix.EADDRINUSE) }
func absent(err error) bool {
	return errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.EAFNOSUPPORT)
}

// publishError says of a port why it can't be had, and what to do.
func publishError(one spec.Port, err error) error {
	e := &driver.Error{Op: "publish port", Object: one.String(), Err: err}
	switch {
	case taken(err) && one.Socket != "":
		e.Class, e.Err, e.Next = driver.ErrBusy, errors.New("a port is published at that path already"), "publish another path"
	case taken(err):
		e.Class, e.Err = driver.ErrBusy, errors.New("another program has that port of the host")
		e.Next = fmt.Sprintf("ss -lntup 'sport = :%d' shows which; or publish auto:%d, whose number status shows", one.Host, one.Guest)
	case absent(err):
		e.Class, e.Err = driver.ErrNotFound, errors.New("this host has no such address")
		e.Next = "ip -brief address shows those that it has"
	case errors.Is(err, fs.ErrPermission) && one.Socket == "":
		e.Class, e.Err = driver.ErrRefused, fmt.Errorf("that port of the host is not for this user: %w", err)
		e.Next = "publish a port from 1024 on"
	case errors.Is(err, fs.ErrExist):
		e.Class, e.Next = driver.ErrExists, "remove it, or publish another path"
	case errors.Is(err, fs.ErrNotExist):
		e.Class, e.Next = driver.ErrNotFound, "make its folder first"
	}
	return e
}

// socket makes a socket that is bound; one of TCP does not listen.
func socket(at netip.AddrPort, udp bool) (fd int, err error) {
	family, kind := unix.AF_INET, unix.SOCK_STREAM
	if at.Addr().Is6() {
		family = unix.AF_INET6
	}
	if udp {
		kind = unix.SOCK_DGRAM
	}
	fd, err = unix.Socket(family, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if family == unix.AF_INET6 {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
	}
	if err == nil && !udp {
		err = reusable(fd, true)
	}
	if err == nil {
		err = os.NewSyscallError("bind", unix.Bind(fd, sockaddr(at)))
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func sockaddr(at netip.AddrPort) unix.Sockaddr {
	if at.Addr().Is6() {
		return &unix.SockaddrInet6{Port: int(at.Port()), Addr: at.Addr().As16()}
	}
	return &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}
}

// reusable says whether others may bind the port as well that say the same and don't listen. Connections that are gone
// stay in the kernel for a minute and have it from the socket that took them: only so the port can be bound again
// meanwhile.
func reusable(fd int, may bool) error {
	value := 0
	if may {
		value = 1
	}
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, value)
}

// freeNumber is a number that nobody has on an address now. A number that the kernel chose at bind is lost when a
// socket ends to listen, so that it has to be asked for by name.
func freeNumber(a netip.Addr, udp bool) (uint16, error) {
	fd, err := socket(netip.AddrPortFrom(a, 0), udp)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	name, err := unix.Getsockname(fd)
	if err != nil {
		return 0, os.NewSyscallError("getsockname", err)
	}
	switch n := name.(type) {
	case *unix.SockaddrInet4:
		return uint16(n.Port), nil
	case *unix.SockaddrInet6:
		return uint16(n.Port), nil
	}
	return 0, errors.New("a socket without a number")
}

func bindSocket(at netip.AddrPort, udp bool) (gate, error) {
	fd, err := socket(at, udp)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), at.String())
	defer f.Close() // what follows has a copy
	if udp {
		return newUDPGate(f, at)
	}
	return newTCPGate(f)
}

// control is a call on the socket below.
func control(c syscall.Conn, call func(fd int) error) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	if controlErr := raw.Control(func(fd uintptr) { err = call(int(fd)) }); controlErr != nil {
		return controlErr
	}
	return err
}

// queue is how many connections wait in the kernel.
const queue = 1024

type tcpGate struct {
	door
	listener *net.TCPListener
}

// newTCPGate listens for a moment: a port that has been listened on is nobody else's, also when it listens no more.
func newTCPGate(f *os.File) (gate, error) {
	l, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	g := &tcpGate{listener: l.(*net.TCPListener)}
	if err := errors.Join(g.listen(), g.unlisten()); err != nil {
		_ = l.Close()
		return nil, err
	}
	return g, nil
}

func (g *tcpGate) listen() error {
	return control(g.listener, func(fd int) error {
		return errors.Join(reusable(fd, true), os.NewSyscallError("listen", unix.Listen(fd, queue)))
	})
}

func (g *tcpGate) unlisten() error {
	return control(g.listener, func(fd int) error {
		return errors.Join(os.NewSyscallError("shutdown", unix.Shutdown(fd, unix.SHUT_RD)), reusable(fd, false))
	})
}

func (g *tcpGate) open(l *life, p *port) error {
	return g.admit(l, p, func() (func() (net.Conn, error), func(), error) {
		if err := g.listen(); err != nil {
			return nil, nil, err
		}
		return g.listener.Accept, func() { _ = g.unlisten() }, nil
	})
}

func (g *tcpGate) close() {
	g.lock()
	_ = g.listener.Close()
}
