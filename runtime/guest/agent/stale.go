package agent

import (
	"encoding/binary"
	"net/netip"

	"microagent/runtime/listentable"
)

// endStale has the connections of the guest end that are of an earlier stream of packets: whoever carried them knows of
// them no more, and a program that only waits to be sent something would wait for ever. Linux answers the beginning of a
// connection that is there already by its state (RFC 5961, section 4.2), and of that the host knows nothing: it resets it.
func endStale(link interface{ deliver(p []byte) }, dir string) error {
	list, err := listentable.Connections(dir)
	for _, c := range list {
		if !c.Remote.Addr().IsLoopback() {
			link.deliver(beginning(c.Remote, c.Local))
		}
	}
	return err
}

// Of headers: RFC 791, section 3.1; RFC 8200, section 3; RFC 9293, section 3.1.
const (
	sizeIPv4    = 20
	sizeIPv6    = 40
	sizeTCP     = 20
	protocolTCP = 6
	flagSYN     = 2
)

// beginning is the packet by which a connection begins.
func beginning(from, to netip.AddrPort) []byte {
	var p []byte
	if from.Addr().Is4() {
		p = make([]byte, sizeIPv4, sizeIPv4+sizeTCP)
		p[0] = 4<<4 | sizeIPv4/4
		binary.BigEndian.PutUint16(p[2:], sizeIPv4+sizeTCP)
		p[8], p[9] = 64, protocolTCP
		copy(p[12:], from.Addr().AsSlice())
		copy(p[16:], to.Addr().AsSlice())
		binary.BigEndian.PutUint16(p[10:], checksum(0, p))
	} else {
		p = make([]byte, sizeIPv6, sizeIPv6+sizeTCP)
		p[0] = 6 << 4
		binary.BigEndian.PutUint16(p[4:], sizeTCP)
		p[6], p[7] = protocolTCP, 64
		copy(p[8:], from.Addr().AsSlice())
		copy(p[24:], to.Addr().AsSlice())
	}
	tcp := make([]byte, sizeTCP)
	binary.BigEndian.PutUint16(tcp, from.Port())
	binary.BigEndian.PutUint16(tcp[2:], to.Port())
	tcp[12], tcp[13] = sizeTCP/4<<4, flagSYN
	binary.BigEndian.PutUint16(tcp[14:], 65535)
	sum := uint32(protocolTCP + sizeTCP) // of the pseudo header
	for _, a := range []netip.Addr{from.Addr(), to.Addr()} {
		sum += uint32(^checksum(0, a.AsSlice()))
	}
	binary.BigEndian.PutUint16(tcp[16:], checksum(sum, tcp))
	return append(p, tcp...)
}

// checksum is that of RFC 1071, of an even number of bytes.
func checksum(sum uint32, b []byte) uint16 {
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
