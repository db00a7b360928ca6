package agent

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
)

// A checksum that is left out comes out as it was where the kernel completes it, which sums up from where it is told.
func TestLeaveOut(t *testing.T) {
	v4 := beginning(netip.MustParseAddrPort("203.0.113.9:443"), netip.MustParseAddrPort("198.18.0.2:40001"))
	v6 := beginning(netip.MustParseAddrPort("[2001:db8::9]:443"), netip.MustParseAddrPort("[fd6d:6167:656e::2]:40001"))
	options := append(append([]byte{4<<4 | 6}, v4[1:20]...), append([]byte{1, 1, 1, 0}, v4[20:]...)...)
	binary.BigEndian.PutUint16(options[2:], uint16(len(options)))
	for name, c := range map[string]struct {
		packet    []byte
		start, at int
	}{"IPv4": {v4, 20, 16}, "IPv4 with options": {options, 24, 16}, "IPv6": {v6, 40, 16}} {
		p := bytes.Clone(c.packet)
		want := binary.BigEndian.Uint16(p[c.start+c.at:])
		start, at, ok := leaveOut(p)
		if got := checksum(0, p[start:]); !ok || start != c.start || at != c.at || got != want {
			t.Errorf("%s: %d, %d, %v, which comes to %x and not %x", name, start, at, ok, got, want)
		}
		if !bytes.Equal(p[:start+at], c.packet[:start+at]) || !bytes.Equal(p[start+at+2:], c.packet[start+at+2:]) {
			t.Errorf("%s: more than the checksum was overwritten", name)
		}
	}
}

func TestWhatIsLeftAlone(t *testing.T) {
	whole := beginning(netip.MustParseAddrPort("203.0.113.9:443"), netip.MustParseAddrPort("198.18.0.2:40001"))
	with := func(at int, b byte) []byte {
		p := bytes.Clone(whole)
		p[at] = b
		return p
	}
	for name, p := range map[string][]byte{
		"nothing": nil, "no IP": with(0, 0x20), "a header of 16 bytes": with(0, 0x44), "a header beyond its end": with(0, 0x4f),
		"another length": with(3, 39), "the first fragment": with(6, 0x20), "a later fragment": with(7, 1), "ICMP": with(9, 1),
		"half of TCP": whole[:30], "half of IP": whole[:19],
	} {
		before := bytes.Clone(p)
		if start, at, ok := leaveOut(p); ok || !bytes.Equal(p, before) {
			t.Errorf("%s: %d, %d, %v, %x", name, start, at, ok, p)
		}
	}
	if _, _, ok := leaveOut(with(6, 0x40)); !ok {
		t.Error("a packet that must not be cut is left alone")
	}
}

// What the host sends is not believed: whatever it is, no more than a checksum within it is overwritten.
func FuzzLeaveOut(f *testing.F) {
	v4 := beginning(netip.MustParseAddrPort("203.0.113.9:443"), netip.MustParseAddrPort("198.18.0.2:40001"))
	v6 := beginning(netip.MustParseAddrPort("[2001:db8::9]:443"), netip.MustParseAddrPort("[fd6d:6167:656e::2]:40001"))
	for _, p := range [][]byte{nil, v4, v6, v4[:21], v6[:40], {0x4f, 0, 0, 1}, {0x60}} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		before := bytes.Clone(p)
		start, at, ok := leaveOut(p)
		if !ok {
			if !bytes.Equal(p, before) {
				t.Error("what is left alone was overwritten")
			}
			return
		}
		if start+at+2 > len(p) || start < sizeIPv4 {
			t.Fatalf("%d and %d of %d bytes", start, at, len(p))
		}
		copy(before[start+at:], p[start+at:start+at+2])
		if !bytes.Equal(p, before) {
			t.Error("more than a checksum was overwritten")
		}
	})
}
