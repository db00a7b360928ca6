package stack

import (
	"context"
	"net"
	"net/netip"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"

	"microagent/runtime/network/stack/stacktest"
)

var (
	guest4, gateway4 = netip.MustParseAddr("198.18.0.2"), netip.MustParsePrefix("198.18.0.1/30")
	guest6, gateway6 = netip.MustParseAddr("fd00::2"), netip.MustParsePrefix("fd00::1/64")
)

// guest is one whose packets a stack carries.
type guest struct{ *stacktest.Guest }

// newGuest connects a guest with a stack of c, which the test's end closes.
func newGuest(t testing.TB, c Config) (guest, *Stack) {
	t.Helper()
	c.MTU, c.Guest, c.Gateway = 65520, []netip.Addr{guest4, guest6}, []netip.Prefix{gateway4, gateway6}
	if c.TCP == nil {
		c.TCP = func(*Request) {}
	}
	if c.UDP == nil {
		c.UDP = func(Flow) func(*Conn) { return nil }
	}
	host, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	g := guest{stacktest.New(guest4, guest6)}
	near, far := net.Pipe()
	done := make(chan struct{}, 2)
	go func() { _ = host.Carry(near); done <- struct{}{} }()
	go func() { g.Carry(far); done <- struct{}{} }()
	await(t, "packets are carried", func() bool { host.link.mu.Lock(); defer host.link.mu.Unlock(); return host.link.open })
	t.Cleanup(func() {
		near.Close()
		far.Close()
		<-done
		<-done
		host.Close()
		g.Close()
	})
	return g, host
}

func (g guest) dial(ctx context.Context, to string) (*gonet.TCPConn, error) {
	return g.Dial(ctx, netip.MustParseAddrPort(to))
}

func (g guest) dialUDP(to string) (*gonet.UDPConn, error) {
	return g.DialUDP(netip.MustParseAddrPort(to))
}
