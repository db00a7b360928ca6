package stack

import (
	"net"
	"net/netip"
	"testing"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"microagent/runtime/network/packets"
)

// TestPings: the gateway answers one, and nobody else's address is heard of.
func TestPings(t *testing.T) {
	host, err := New(Config{MTU: 65520, Guest: []netip.Addr{guest4}, Gateway: []netip.Prefix{gateway4}})
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
	for _, to := range []netip.Addr{netip.MustParseAddr("192.0.2.1"), gateway4.Addr()} {
		host.Deliver(buffer.NewViewWithData(pingPacket(guest4, to)))
	}
	p, err := packets.NewReader(far).Next()
	if err != nil {
		t.Fatal(err)
	}
	ip := header.IPv4(p)
	if from := addrPort(ip.SourceAddress(), 0).Addr(); from != gateway4.Addr() || header.ICMPv4(ip.Payload()).Type() != header.ICMPv4EchoReply {
		t.Errorf("%x of %s is no answer to a ping", p, from)
	}
	if dropped := host.Counters().Strange; dropped != 1 {
		t.Errorf("%d packets were dropped, not the one for another address", dropped)
	}
}
