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

// Unreachable refuses a flow of TCP as a router does that has no way to its network, or with host to its host.
func (r *Request) Unreachable(host bool) {
	if !r.done {
		r.done = true
		r.unreachable(host)
	}
}

// sendUnreachable says whether the guest could be told.
func (s *Stack) sendUnreachable(id stack.TransportEndpointID, host bool) bool {
	number, ok := s.beginnings.number(id)
	if !ok {
		return false
	}
	var p []byte
	if id.LocalAddress.BitLen() == 32 {
		p = s.unreachable4(id, number, host)
	} else {
		p = s.unreachable6(id, number, host)
	}
	if p == nil {
		return false
	}
	packet := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(p)})
	defer packet.DecRef()
	var list stack.PacketBufferList
	list.PushBack(packet)
	_, err := s.link.WritePackets(list)
	return err == nil
}

// quoted is how much of the packet that it is about a message has of its transport: ports and sequence number.
const quoted = 8

func quote(b []byte, id stack.TransportEndpointID, number uint32) {
	var h [header.TCPMinimumSize]byte
	header.TCP(h[:]).Encode(&header.TCPFields{SrcPort: id.RemotePort, DstPort: id.LocalPort, SeqNum: number})
	copy(b[:quoted], h[:])
}

// gateway is the stack's own address of a length in bits.
func (s *Stack) gateway(bits int) tcpip.Address {
	for _, p := range s.config.Gateway {
		if p.Addr().BitLen() == bits {
			return tcpip.AddrFromSlice(p.Addr().AsSlice())
		}
	}
	return tcpip.Address{}
}

func (s *Stack) unreachable4(id stack.TransportEndpointID, number uint32, host bool) []byte {
	const inner = header.IPv4MinimumSize + quoted
	const size = header.IPv4MinimumSize + header.ICMPv4MinimumSize + inner
	from := s.gateway(32)
	if from.BitLen() == 0 {
		return nil
	}
	b := make([]byte, size)
	encode4(b, size, header.ICMPv4ProtocolNumber, from, id.RemoteAddress)
	icmp := header.ICMPv4(b[header.IPv4MinimumSize:])
	icmp.SetType(header.ICMPv4DstUnreachable)
	icmp.SetCode(header.ICMPv4NetUnreachable)
	if host {
		icmp.SetCode(header.ICMPv4HostUnreachable)
	}
	about := icmp[header.ICMPv4MinimumSize:]
	encode4(about, header.IPv4MinimumSize+header.TCPMinimumSize, header.TCPProtocolNumber, id.RemoteAddress, id.LocalAddress)
	quote(about[header.IPv4MinimumSize:], id, number)
	icmp.SetChecksum(^checksum.Checksum(icmp, 0))
	return b
}

func encode4(b []byte, size int, protocol tcpip.TransportProtocolNumber, from, to tcpip.Address) {
	ip := header.IPv4(b)
	ip.Encode(&header.IPv4Fields{TotalLength: uint16(size), TTL: 64, Protocol: uint8(protocol), SrcAddr: from, DstAddr: to})
	ip.SetChecksum(^ip.CalculateChecksum())
}

func (s *Stack) unreachable6(id stack.TransportEndpointID, number uint32, host bool) []byte {
	const inner = header.IPv6MinimumSize + quoted
	const size = header.ICMPv6DstUnreachableMinimumSize + inner
	from := s.gateway(128)
	if from.BitLen() == 0 {
		return nil
	}
	b := make([]byte, header.IPv6MinimumSize+size)
	header.IPv6(b).Encode(&header.IPv6Fields{PayloadLength: size, TransportProtocol: header.ICMPv6ProtocolNumber, HopLimit: 64, SrcAddr: from, DstAddr: id.RemoteAddress})
	icmp := header.ICMPv6(b[header.IPv6MinimumSize:])
	icmp.SetType(header.ICMPv6DstUnreachable)
	icmp.SetCode(header.ICMPv6NetworkUnreachable)
	if host {
		icmp.SetCode(header.ICMPv6AddressUnreachable)
	}
	about := icmp[header.ICMPv6DstUnreachableMinimumSize:]
	header.IPv6(about).Encode(&header.IPv6Fields{PayloadLength: header.TCPMinimumSize, TransportProtocol: header.TCPProtocolNumber, HopLimit: 64, SrcAddr: id.RemoteAddress, DstAddr: id.LocalAddress})
	quote(about[header.IPv6MinimumSize:], id, number)
	icmp.SetChecksum(header.ICMPv6Checksum(header.ICMPv6ChecksumParams{Header: icmp, Src: from, Dst: id.RemoteAddress}))
	return b
}
