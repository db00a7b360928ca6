package stack

import (
	"context"
	"net"
	"net/netip"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

var (
	guest4, gateway4 = netip.MustParseAddr("198.18.0.2"), netip.MustParsePrefix("198.18.0.1/30")
	guest6, gateway6 = netip.MustParseAddr("fd00::2"), netip.MustParsePrefix("fd00::1/64")
)

// guest is a stack in the place of a guest's kernel.
type guest struct {
	stack *stack.Stack
	own   *Stack // which carries its packets
}

// newGuest connects a guest with a stack of c, which the test's end closes.
func newGuest(t testing.TB, c Config) (*guest, *Stack) {
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
	g := &guest{stack: stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
	})}
	// Its interface is one of ours, with what comes from a guest and what goes to one the other way round.
	g.own = &Stack{config: Config{Gateway: []netip.Prefix{netip.PrefixFrom(guest4, 32), netip.PrefixFrom(guest6, 128)}}, link: newLink(65520), stack: g.stack}
	if err := g.stack.CreateNIC(nic, g.own.link); err != nil {
		t.Fatal(err)
	}
	for _, a := range []netip.Addr{guest4, guest6} {
		p := tcpip.ProtocolAddress{Protocol: ipv4.ProtocolNumber, AddressWithPrefix: tcpip.AddrFromSlice(a.AsSlice()).WithPrefix()}
		if a.Is6() {
			p.Protocol = ipv6.ProtocolNumber
		}
		if err := g.stack.AddProtocolAddress(nic, p, stack.AddressProperties{}); err != nil {
			t.Fatal(err)
		}
	}
	g.stack.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nic}, {Destination: header.IPv6EmptySubnet, NIC: nic}})
	near, far := net.Pipe()
	done := make(chan struct{}, 2)
	go func() { _ = host.Carry(near); done <- struct{}{} }()
	go func() { _ = g.own.Carry(far); done <- struct{}{} }()
	for _, l := range []*link{host.link, g.own.link} { // what is sent before is lost
		await(t, "packets are carried", func() bool { l.mu.Lock(); defer l.mu.Unlock(); return l.open })
	}
	t.Cleanup(func() {
		near.Close()
		far.Close()
		<-done
		<-done
		host.Close()
		g.stack.Destroy()
	})
	return g, host
}

func full(to netip.AddrPort) (tcpip.FullAddress, tcpip.NetworkProtocolNumber) {
	number := ipv4.ProtocolNumber
	if to.Addr().Is6() {
		number = ipv6.ProtocolNumber
	}
	return tcpip.FullAddress{NIC: nic, Addr: tcpip.AddrFromSlice(to.Addr().AsSlice()), Port: to.Port()}, number
}

func (g *guest) dial(ctx context.Context, to string) (*gonet.TCPConn, error) {
	a, number := full(netip.MustParseAddrPort(to))
	return gonet.DialContextTCP(ctx, g.stack, a, number)
}

// dialRaw is dial for what gonet does not do.
func (g *guest) dialRaw(t *testing.T, to string) tcpip.Endpoint {
	t.Helper()
	a, number := full(netip.MustParseAddrPort(to))
	queue := &waiter.Queue{}
	entry, connected := waiter.NewChannelEntry(waiter.WritableEvents | waiter.EventErr)
	queue.EventRegister(&entry)
	ep, err := g.stack.NewEndpoint(tcp.ProtocolNumber, number, queue)
	if err != nil {
		t.Fatal(err)
	}
	_ = ep.Connect(a)
	<-connected
	return ep
}

func (g *guest) dialUDP(to string) (*gonet.UDPConn, error) {
	a, number := full(netip.MustParseAddrPort(to))
	return gonet.DialUDP(g.stack, nil, &a, number)
}
