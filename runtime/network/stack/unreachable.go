package stack

import (
	"sync"

	lru "github.com/hashicorp/golang-lru/v2/simplelru"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// beginnings are the sequence numbers of connections that are under way to be decided on: Linux believes that a place is
// unreachable when it is told the number that it sent (tcp_v4_err in net/ipv4/tcp_ipv4.c), and gVisor does not give it away.
type beginnings struct {
	mu      sync.Mutex
	numbers *lru.LRU[stack.TransportEndpointID, uint32]
}

func newBeginnings() *beginnings {
	numbers, err := lru.NewLRU[stack.TransportEndpointID, uint32](2*mostOpening, nil)
	if err != nil { // mostOpening is not positive
		panic(err)
	}
	return &beginnings{numbers: numbers}
}

// note looks at a packet on its way to the forwarder.
func (b *beginnings) note(id stack.TransportEndpointID, p *stack.PacketBuffer) {
	h := header.TCP(p.TransportHeader().Slice())
	if len(h) < header.TCPMinimumSize || h.Flags() != header.TCPFlagSyn {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.numbers.Add(id, h.SequenceNumber())
}

func (b *beginnings) number(id stack.TransportEndpointID) (uint32, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.numbers.Get(id)
}

// Absence is what there is not, of where a flow leads.
type Absence int

const (
	NoNetwork Absence = iota // no way to its network
	NoHost                   // no way to the host itself
	NoPort                   // nobody at its port
)

// codes are those of the messages of ICMP (RFC 792) and ICMPv6 (RFC 4443, section 3.1).
func (a Absence) codes() (header.ICMPv4Code, header.ICMPv6Code) {
	switch a {
	case NoHost:
		return header.ICMPv4HostUnreachable, header.ICMPv6AddressUnreachable
	case NoPort:
		return header.ICMPv4PortUnreachable, header.ICMPv6PortUnreachable
	}
	return header.ICMPv4NetUnreachable, header.ICMPv6NetworkUnreachable
}

// Unreachable refuses a flow of TCP as a router does that has no way to where it leads.
func (r *Request) Unreachable(a Absence) {
	if !r.done {
		r.done = true
		r.unreachable(a)
	}
}

// Unreachable tells the guest that datagrams don't arrive, as a router does; those that come next may.
func (c *Conn) Unreachable(a Absence) {
	if c.unreachable != nil {
		c.unreachable(a)
	}
}

// refuseConnection says whether the guest could be told.
func (s *Stack) refuseConnection(id stack.TransportEndpointID, why Absence) bool {
	number, ok := s.beginnings.number(id)
	if !ok {
		return false
	}
	var h [header.TCPMinimumSize]byte
	header.TCP(h[:]).Encode(&header.TCPFields{SrcPort: id.RemotePort, DstPort: id.LocalPort, SeqNum: number})
	return s.sendUnreachable(id, header.TCPProtocolNumber, [quoted]byte(h[:]), why)
}

// refuseDatagrams names none of them: whoever is told looks at the ports (__udp4_lib_err in Linux's net/ipv4/udp.c).
func (s *Stack) refuseDatagrams(id stack.TransportEndpointID, why Absence) {
	var h [quoted]byte
	header.UDP(h[:]).Encode(&header.UDPFields{SrcPort: id.RemotePort, DstPort: id.LocalPort, Length: header.UDPMinimumSize})
	s.sendUnreachable(id, header.UDPProtocolNumber, h, why)
}

// sendUnreachable is about a packet of which the first bytes after IP's header are quote.
func (s *Stack) sendUnreachable(id stack.TransportEndpointID, protocol tcpip.TransportProtocolNumber, quote [quoted]byte, why Absence) bool {
	from := s.gateway(id.LocalAddress.BitLen())
	if from.BitLen() == 0 {
		return false
	}
	code4, code6 := why.codes()
	var p []byte
	if id.LocalAddress.BitLen() == 32 {
		p = unreachable4(from, id, protocol, quote, code4)
	} else {
		p = unreachable6(from, id, protocol, quote, code6)
	}
	packet := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(p)})
	defer packet.DecRef()
	var list stack.PacketBufferList
	list.PushBack(packet)
	_, err := s.link.WritePackets(list)
	return err == nil
}

// quoted is how much of the packet that it is about a message has of its transport: ports and what follows them.
const quoted = 8

// gateway is the stack's own address of a length in bits.
func (s *Stack) gateway(bits int) tcpip.Address {
	for _, p := range s.config.Gateway {
		if p.Addr().BitLen() == bits {
			return tcpip.AddrFromSlice(p.Addr().AsSlice())
		}
	}
	return tcpip.Address{}
}

func unreachable4(from tcpip.Address, id stack.TransportEndpointID, protocol tcpip.TransportProtocolNumber, quote [quoted]byte, code header.ICMPv4Code) []byte {
	const inner = header.IPv4MinimumSize + quoted
	const size = header.IPv4MinimumSize + header.ICMPv4MinimumSize + inner
	b := make([]byte, size)
	encode4(b, size, header.ICMPv4ProtocolNumber, from, id.RemoteAddress)
	icmp := header.ICMPv4(b[header.IPv4MinimumSize:])
	icmp.SetType(header.ICMPv4DstUnreachable)
	icmp.SetCode(code)
	about := icmp[header.ICMPv4MinimumSize:]
	encode4(about, inner, protocol, id.RemoteAddress, id.LocalAddress)
	copy(about[header.IPv4MinimumSize:], quote[:])
	icmp.SetChecksum(^checksum.Checksum(icmp, 0))
	return b
}

func encode4(b []byte, size int, protocol tcpip.TransportProtocolNumber, from, to tcpip.Address) {
	ip := header.IPv4(b)
	ip.Encode(&header.IPv4Fields{TotalLength: uint16(size), TTL: 64, Protocol: uint8(protocol), SrcAddr: from, DstAddr: to})
	ip.SetChecksum(^ip.CalculateChecksum())
}

func unreachable6(from tcpip.Address, id stack.TransportEndpointID, protocol tcpip.TransportProtocolNumber, quote [quoted]byte, code header.ICMPv6Code) []byte {
	const inner = header.IPv6MinimumSize + quoted
	const size = header.ICMPv6DstUnreachableMinimumSize + inner
	b := make([]byte, header.IPv6MinimumSize+size)
	header.IPv6(b).Encode(&header.IPv6Fields{PayloadLength: size, TransportProtocol: header.ICMPv6ProtocolNumber, HopLimit: 64, SrcAddr: from, DstAddr: id.RemoteAddress})
	icmp := header.ICMPv6(b[header.IPv6MinimumSize:])
	icmp.SetType(header.ICMPv6DstUnreachable)
	icmp.SetCode(code)
	about := icmp[header.ICMPv6DstUnreachableMinimumSize:]
	header.IPv6(about).Encode(&header.IPv6Fields{PayloadLength: quoted, TransportProtocol: protocol, HopLimit: 64, SrcAddr: id.RemoteAddress, DstAddr: id.LocalAddress})
	copy(about[header.IPv6MinimumSize:], quote[:])
	icmp.SetChecksum(header.ICMPv6Checksum(header.ICMPv6ChecksumParams{Header: icmp, Src: from, Dst: id.RemoteAddress}))
	return b
}
