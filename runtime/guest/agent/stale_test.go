package agent

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
)

// A packet that is made is one: a sum over all that its checksum covers comes out as nothing (RFC 1071).
func TestBeginning(t *testing.T) {
	from4, to4 := netip.MustParseAddrPort("203.0.113.9:443"), netip.MustParseAddrPort("198.18.0.2:40001")
	p := beginning(from4, to4)
	if len(p) != 40 || int(binary.BigEndian.Uint16(p[2:])) != len(p) || checksum(0, p[:20]) != 0 || !slices.Equal(p[12:20], []byte{203, 0, 113, 9, 198, 18, 0, 2}) {
		t.Errorf("IPv4: %x", p)
	}
	pseudo := slices.Concat(p[12:20], []byte{0, 6, 0, 20}, p[20:])
	if checksum(0, pseudo) != 0 || binary.BigEndian.Uint16(p[20:]) != 443 || binary.BigEndian.Uint16(p[22:]) != 40001 {
		t.Errorf("TCP over IPv4: %x", p)
	}
	from6, to6 := netip.MustParseAddrPort("[2001:db8::9]:443"), netip.MustParseAddrPort("[fd6d:6167:656e::2]:40001")
	p = beginning(from6, to6)
	if len(p) != 60 || binary.BigEndian.Uint16(p[4:]) != 20 || p[6] != 6 {
		t.Errorf("IPv6: %x", p)
	}
	pseudo = slices.Concat(p[8:40], []byte{0, 0, 0, 20, 0, 0, 0, 6}, p[40:])
	if checksum(0, pseudo) != 0 {
		t.Errorf("TCP over IPv6: %x", p)
	}
}
