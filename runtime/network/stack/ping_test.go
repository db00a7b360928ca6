package stack

import (
	"net"
	"net/netip"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"microagent/runtime/network/packets"
)

// bare is a stack of a guest whose packets a test writes and reads itself.
func bare(t *testing.T, c Config) (*Stack, *packets.Reader) {
	t.Helper()
	c.MTU, c.Guest, c.Gateway = 65520, []netip.Addr{guest4}, []netip.Prefix{gateway4}
	host, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	near, far := net.Pipe()
	done := make(chan error)
	go func() { done <- host.Carry(near) }()
	t.Cleanup(func() {
		far.Close()
		<-done
		host.Close()
	})
	await(t, "packets are carried", func() bool { host.link.mu.Lock(); defer host.link.mu.Unlock(); return host.link.open })
	return host, packets.NewReader(far)
}

// TestPings: the gateway answers one, and nobody else's address is heard of.
func TestPings(t *testing.T) {
	host, far := bare(t, Config{})
	for _, to := range []netip.Addr{netip.MustParseAddr("192.0.2.1"), gateway4.Addr()} {
		host.Deliver(pingPacket(guest4, to))
	}
	p, err := far.Next()
	if err != nil {
		t.Fatal(err)
	}
	ip := header.IPv4(p)
	if from := addrPort(ip.SourceAddress(), 0).Addr(); from != gateway4.Addr() || header.ICMPv4(ip.Payload()).Type() != header.ICMPv4EchoReply {
		t.Errorf("%x of %s is no answer to a ping", p, from)
	}
	if dropped := host.Dropped().Strange; dropped != 1 {
		t.Errorf("%d packets were dropped, not the one for another address", dropped)
	}
}

// TestUnreachableDatagrams: what the guest is told is about its own datagram, and says what there is not.
func TestUnreachableDatagrams(t *testing.T) {
	for why, code := range map[Absence]header.ICMPv4Code{
		NoNetwork: header.ICMPv4NetUnreachable, NoHost: header.ICMPv4HostUnreachable, NoPort: header.ICMPv4PortUnreachable,
	} {
		host, far := bare(t, Config{UDP: func(Flow) func(*Conn) { return func(c *Conn) { c.Unreachable(why) } }})
		from, to := netip.AddrPortFrom(guest4, 4444), netip.MustParseAddrPort("203.0.113.9:123")
		host.Deliver(udpPacket(from, to))
		p, err := far.Next()
		if err != nil {
			t.Fatal(err)
		}
		icmp := header.ICMPv4(header.IPv4(p).Payload())
		if icmp.Type() != header.ICMPv4DstUnreachable || icmp.Code() != code {
			t.Errorf("type %d, code %d, not %d", icmp.Type(), icmp.Code(), code)
		}
		about := header.IPv4(icmp[header.ICMPv4MinimumSize:])
		ports := header.UDP(about[header.IPv4MinimumSize:])
		if about.TransportProtocol() != header.UDPProtocolNumber ||
			addrPort(about.SourceAddress(), ports.SourcePort()) != from || addrPort(about.DestinationAddress(), ports.DestinationPort()) != to {
			t.Errorf("it is about %x", []byte(about))
		}
	}
	g, _ := newGuest(t, Config{UDP: func(Flow) func(*Conn) { return func(c *Conn) { c.Unreachable(NoHost) } }})
	c, err := g.dialUDP("[2001:db8::9]:123")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = c.Write([]byte("x"))
	await(t, "a guest is told over IPv6", func() bool { return g.Unreachable() == 1 })
}
