// Package dial connects to what is outside a guest's network, from the host.
//
// It promises that the very address that was judged is dialled, and judged once more at that moment: no name is resolved
// here, and of an address that stands for another one none is dialled. Never: a connection to an address that check
// denies, whoever asked for it.
package dial

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"microagent/schema/spec"
)

// Patience bounds how long a connection may take to be accepted.
const Patience = 10 * time.Second

// Conn is a connection over TCP or a unix socket, or a pair of ports of UDP.
type Conn interface {
	net.Conn
	syscall.Conn
}

// Dialer connects. Its zero is the host's own.
type Dialer struct {
	// Connect is what connects in the place of the host's network, after to was checked; nil in the program.
	Connect func(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error)
}

// Check says whether an address may be dialled; own, whether an interface of this host has it.
type Check func(to netip.AddrPort, own bool) error

// Dial connects to an address that check allows.
func (d Dialer) Dial(ctx context.Context, protocol spec.Protocol, to netip.AddrPort, check Check) (Conn, error) {
	network, err := networkOf(protocol, to.Addr())
	if err != nil {
		return nil, err
	}
	own, err := isOwn(to.Addr())
	if err != nil {
		return nil, fmt.Errorf("list the host's addresses: %w", err)
	}
	if err := check(to, own); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	connect := d.Connect
	if connect == nil {
		connect = connectHost
	}
	conn, err := connect(ctx, network, to)
	if err != nil {
		return nil, err
	}
	return withFile(conn)
}

// Route says why a host of an address can't be reached from here at all, as when this one is offline; nil when it may be.
// It sends nothing.
func (d Dialer) Route(to netip.AddrPort) error {
	if d.Connect != nil {
		return nil
	}
	network, err := networkOf(spec.UDP, to.Addr())
	if err != nil {
		return err
	}
	conn, err := net.Dial(network, to.String()) // of UDP it looks for a way, and no more
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	if err != nil {
		return err
	}
	return conn.Close()
}

// DialLoopback connects to a port of the host's own loopback, of IPv4, or of IPv6 where nothing listens on that.
func (d Dialer) DialLoopback(ctx context.Context, protocol spec.Protocol, port uint16) (Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	var first error
	for _, a := range []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()} {
		network, err := networkOf(protocol, a)
		if err != nil {
			return nil, err
		}
		conn, err := connectHost(ctx, network, netip.AddrPortFrom(a, port))
		if err == nil {
			return withFile(conn)
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// networkOf names the network of one family, so that nothing is tried but the address itself.
func networkOf(protocol spec.Protocol, a netip.Addr) (string, error) {
	if !a.IsValid() || a.Is4In6() || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() {
		return "", fmt.Errorf("%s is not the address of one host", a)
	}
	network := "tcp"
	if protocol == spec.UDP {
		network = "udp"
	}
	if a.Is4() {
		return network + "4", nil
	}
	return network + "6", nil
}

func connectHost(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{Control: func(_, address string, _ syscall.RawConn) error {
		if address != to.String() {
			return fmt.Errorf("%s would be dialled, not %s", address, to)
		}
		return nil
	}}
	return d.DialContext(ctx, network, to.String())
}

// isOwn says whether an interface of this host has an address now: what listens on all of them answers there as well.
func isOwn(a netip.Addr) (bool, error) {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return false, err
	}
	for _, one := range list {
		if p, err := netip.ParsePrefix(one.String()); err == nil && p.Addr().Unmap() == a.Unmap() {
			return true, nil
		}
	}
	return false, nil
}

func withFile(conn net.Conn) (Conn, error) {
	c, ok := conn.(Conn)
	if !ok {
		conn.Close()
		return nil, fmt.Errorf("%T is no connection of the kernel's", conn)
	}
	return c, nil
}
