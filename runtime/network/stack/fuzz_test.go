package stack

import (
	"encoding/binary"
	"net/netip"
	"runtime"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip/header"
)

var (
	from4, to4 = netip.AddrPortFrom(guest4, 1), netip.MustParseAddrPort("203.0.113.9:80")
	to6        = netip.MustParseAddr("2001:db8::9")
)

// with is a packet with bytes in the place of some of its own.
func with(p []byte, at int, bytes ...byte) []byte {
	p = append([]byte(nil), p...)
	copy(p[at:], bytes)
	sumIPv4(p)
	return p
}

func sumIPv4(p []byte) {
	h := header.IPv4(p)
	if header.IPVersion(p) != header.IPv4Version || int(h.HeaderLength()) > len(p) || int(h.HeaderLength()) < header.IPv4MinimumSize {
		return
	}
	h.SetChecksum(0)
	h.SetChecksum(^h.CalculateChecksum())
}

// withOptions is a packet of IPv4 with options.
func withOptions(p []byte, options ...byte) []byte {
	p = append(append(append([]byte(nil), p[:header.IPv4MinimumSize]...), options...), p[header.IPv4MinimumSize:]...)
	p[0] = 4<<4 | byte(header.IPv4MinimumSize+len(options))/4
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	sumIPv4(p)
	return p
}

// fragment is a part of a packet of UDP.
func fragment(id, offset uint16, more bool, size int) []byte {
	return ipPacket(guest4, to4.Addr(), header.UDPProtocolNumber, size, func(p []byte, _ uint16) {
		for i := range p {
			p[i] = byte(offset) + byte(i)
		}
	}, func(f *header.IPv4Fields) {
		f.ID, f.FragmentOffset = id, offset
		if more {
			f.Flags = header.IPv4FlagMoreFragments
		}
	})
}

// packet6 is one of IPv6, of which next says what the rest begins with.
func packet6(to netip.Addr, next byte, rest ...byte) []byte {
	p := make([]byte, header.IPv6MinimumSize, header.IPv6MinimumSize+len(rest))
	p[0], p[6], p[7] = 6<<4, next, 64
	binary.BigEndian.PutUint16(p[4:], uint16(len(rest)))
	from, dest := guest6.As16(), to.As16()
	copy(p[8:], from[:])
	copy(p[24:], dest[:])
	return append(p, rest...)
}

// crafted are packets that say something of themselves that is not so, or that hardly anybody sends.
func crafted() [][]byte {
	udp, syn, ping := udpPacket(from4, to4), synPacket(from4, to4), pingPacket(guest4, gateway4.Addr())
	list := [][]byte{
		udp, syn, ping,
		with(udp, 24, 0, 0), with(udp, 24, 0xff, 0xff), with(udp, 24, 0, 8), with(udp, 26, 0, 0), // its length, its sum
		with(udp, 20, 0, 0), with(udp, 22, 0, 0), // ports
		with(udp, 2, 0xff, 0xff), with(udp, 2, 0, 20), with(udp, 2, 0, 19), with(udp, 0, 0x4f), with(udp, 0, 0x44), with(udp, 8, 0),
		with(syn, 32, 0x00), with(syn, 32, 0xf0), with(syn, 33, 0), with(syn, 33, 0xff), with(syn, 33, 0x03), with(syn, 33, 0x10), with(syn, 33, 0x11), with(syn, 33, 0x04), // length of its header, flags
		with(syn, 36, 0, 0), with(syn, 9, 0), with(syn, 9, 41), with(syn, 9, 50), with(syn, 9, 132),
		withOptions(syn, 0, 0, 0, 0), withOptions(syn, 7, 7, 4, 0, 0, 0, 0, 0), withOptions(syn, 7, 0, 4, 0), withOptions(syn, 7, 3, 0, 0), withOptions(udp, 68, 12, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0), withOptions(udp, 131, 7, 4, 127, 0, 0, 1, 0), withOptions(udp, 148, 4, 0, 0), withOptions(ping, 7, 39, 4),
		fragment(1, 0, true, 64), fragment(1, 32, true, 64), fragment(1, 64, false, 1), fragment(2, 65528, false, 8), fragment(2, 65528, true, 8), fragment(3, 0, true, 7), fragment(4, 8, false, 0),
		with(ping, 20, 3, 4), with(ping, 20, 3, 1), with(ping, 20, 5, 0), with(ping, 20, 11, 0), with(ping, 20, 13, 0),
	}
	tcp := append([]byte(nil), syn[header.IPv4MinimumSize:]...)
	for _, b := range [][]byte{
		tcp, {0, 0}, append(tcp, 2, 4, 0, 0), append(with(tcp, 12, 0x60), 2, 0, 0, 0), append(with(tcp, 12, 0x80), 3, 3, 255, 5, 255, 8, 10, 0), append(with(tcp, 12, 0x60), 2, 4, 0, 1),
	} {
		list = append(list, packet6(to6, 6, b...))
	}
	return append(list,
		packet6(to6, 0, append([]byte{6, 0, 1, 4, 0, 0, 0, 0}, tcp...)...),         // options of each hop
		packet6(to6, 0, append([]byte{6, 0, 0xc2, 4, 0, 1, 0, 0}, tcp...)...),      // a jumbogram
		packet6(to6, 0, append([]byte{6, 255, 1, 4, 0, 0, 0, 0}, tcp...)...),       // options beyond its end
		packet6(to6, 43, append([]byte{6, 2, 0, 1, 0, 0, 0, 0}, tcp...)...),        // routing
		packet6(to6, 60, append([]byte{60, 0, 1, 4, 0, 0, 0, 0}, tcp...)...),       // options within options
		packet6(to6, 44, append([]byte{17, 0, 0, 1, 0, 0, 0, 1}, udp[20:]...)...),  // the first part
		packet6(to6, 44, append([]byte{17, 0, 0xff, 0xf8, 0, 0, 0, 1}, tcp...)...), // the last part, beyond the largest packet
		packet6(to6, 44, append([]byte{44, 0, 0, 0, 0, 0, 0, 2}, tcp...)...),       // a part of parts
		packet6(to6, 59), packet6(to6, 58, 128, 0, 0, 0), packet6(gateway6.Addr(), 58, 128, 0, 0, 0, 0, 0, 0, 0),
		packet6(gateway6.Addr(), 58, append([]byte{2, 0, 0, 0, 0, 0, 0, 1}, packet6(guest6, 6, tcp...)...)...),         // too large for an MTU of 1
		packet6(gateway6.Addr(), 58, 135, 0, 0, 0, 0, 0, 0, 0), packet6(gateway6.Addr(), 58, 134, 0, 0, 0, 0, 0, 0, 0), // neighbours, routers
	)
}

// A stack goes on whatever a guest sends, and what comes after it arrives.
func TestCraftedPackets(t *testing.T) {
	asked := make(chan netip.AddrPort, 1000)
	_, s := newGuest(t, Config{TCP: func(r *Request) { asked <- r.To }, UDP: func(Flow) func(*Conn) { return nil }})
	for _, p := range crafted() {
		for range 3 {
			s.Deliver(p)
			for cut := range len(p) {
				s.Deliver(p[:cut])
			}
		}
	}
	last := netip.MustParseAddrPort("203.0.113.200:443")
	s.Deliver(synPacket(from4, last))
	for to := range asked {
		if to == last {
			break
		}
	}
}

// Parts of packets of which the others never come take no more than their bound.
func TestPartsOfPackets(t *testing.T) {
	_, s := newGuest(t, Config{})
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // what a pool holds goes with the second
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for name, size := range map[string]int{"large": 32 << 10, "small": 8} {
		before := heap()
		for id := range 3 * parts / (size + 1<<10) {
			s.Deliver(fragment(uint16(id), 0, true, size))
		}
		if more := int64(heap()) - int64(before); more > 3*parts { // what holds a small one takes more than it
			t.Errorf("%s: %d KiB", name, more>>10)
		}
	}
}

func FuzzPackets(f *testing.F) {
	for _, p := range crafted() {
		f.Add(p)
	}
	_, s := newGuest(f, Config{TCP: echo, UDP: func(f Flow) func(*Conn) { return func(c *Conn) { _, _ = c.Receive(make([]byte, 1)) } }})
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) > 65535 {
			return
		}
		s.Deliver(p)
		sumIPv4(p) // what changes most often
		s.Deliver(p)
		if n := s.Flows(); n > MostFlows {
			t.Errorf("%d flows", n)
		}
	})
}
