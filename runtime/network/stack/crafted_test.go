package stack

import (
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// ipPacket is an IPv4 packet with room for size bytes of payload, which fill writes.
func ipPacket(from, to netip.Addr, protocol tcpip.TransportProtocolNumber, size int, fill func(p []byte, sum uint16), more ...func(*header.IPv4Fields)) []byte {
	p := make([]byte, header.IPv4MinimumSize+size)
	ip := header.IPv4(p)
	src, dst := tcpip.AddrFromSlice(from.AsSlice()), tcpip.AddrFromSlice(to.AsSlice())
	fields := header.IPv4Fields{TotalLength: uint16(len(p)), TTL: 64, Protocol: uint8(protocol), SrcAddr: src, DstAddr: dst}
	for _, change := range more {
		change(&fields)
	}
	ip.Encode(&fields)
	ip.SetChecksum(^ip.CalculateChecksum())
	fill(p[header.IPv4MinimumSize:], header.PseudoHeaderChecksum(protocol, src, dst, uint16(size)))
	return p
}

func udpPacket(from, to netip.AddrPort) []byte {
	return ipPacket(from.Addr(), to.Addr(), header.UDPProtocolNumber, header.UDPMinimumSize+1, func(p []byte, sum uint16) {
		u := header.UDP(p)
		u.Encode(&header.UDPFields{SrcPort: from.Port(), DstPort: to.Port(), Length: uint16(len(p))})
		u.SetChecksum(^u.CalculateChecksum(checksum.Checksum(p[header.UDPMinimumSize:], sum)))
	})
}

func synPacket(from, to netip.AddrPort) []byte {
	return ipPacket(from.Addr(), to.Addr(), header.TCPProtocolNumber, header.TCPMinimumSize, func(p []byte, sum uint16) {
		h := header.TCP(p)
		h.Encode(&header.TCPFields{SrcPort: from.Port(), DstPort: to.Port(), SeqNum: 1, DataOffset: header.TCPMinimumSize, Flags: header.TCPFlagSyn, WindowSize: 65535})
		h.SetChecksum(^h.CalculateChecksum(sum))
	})
}

func pingPacket(from, to netip.Addr) []byte {
	return ipPacket(from, to, header.ICMPv4ProtocolNumber, header.ICMPv4MinimumSize, func(p []byte, _ uint16) {
		h := header.ICMPv4(p)
		h.SetType(header.ICMPv4Echo)
		h.SetChecksum(header.ICMPv4Checksum(h, 0))
	})
}
