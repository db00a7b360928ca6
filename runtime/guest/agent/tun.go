package agent

import (
	"encoding/binary"

	"microagent/runtime/guest/chardev"
)

// Of a struct virtio_net_hdr, as linux/virtio_net.h has it: flags, the kind of segments, sizes, and where the checksum
// that is wanted begins and is put, all in the order of bytes that the guest has.
const (
	sizeVirtioHeader = 10
	needsChecksum    = 1 // VIRTIO_NET_HDR_F_NEEDS_CSUM
)

// tun is the device of the guest's interface. What the kernel sends by it has no checksums, and needs none.
type tun struct {
	*chardev.Headed
}

func newTun(f *chardev.File) *tun { return &tun{chardev.NewHeaded(f, sizeVirtioHeader)} }

// deliver gives the kernel a packet, and overwrites its checksum: a kernel believes one that it is asked to complete, and
// does that only where the packet goes on by another interface. What it does not take for a packet is dropped.
func (t *tun) deliver(p []byte) {
	var header [sizeVirtioHeader]byte
	if start, at, ok := leaveOut(p); ok {
		header[0] = needsChecksum
		binary.NativeEndian.PutUint16(header[6:], uint16(start))
		binary.NativeEndian.PutUint16(header[8:], uint16(at))
	}
	_ = t.WriteRecord(header[:], p)
}

const protocolUDP = 17

// leaveOut puts in the place of a packet's checksum what it begins with, the sum of the pseudo header, and says where what
// is to be summed starts and where behind that the checksum is. It leaves alone all but whole packets of TCP and UDP.
func leaveOut(p []byte) (start, at int, ok bool) {
	var protocol byte
	var addresses []byte
	switch {
	case len(p) >= sizeIPv4 && p[0]>>4 == 4:
		start, protocol, addresses = int(p[0]&0xf)*4, p[9], p[12:sizeIPv4]
		if fragment := binary.BigEndian.Uint16(p[6:]) & 0x3fff; start < sizeIPv4 || fragment != 0 || int(binary.BigEndian.Uint16(p[2:])) != len(p) {
			return 0, 0, false
		}
	case len(p) >= sizeIPv6 && p[0]>>4 == 6:
		start, protocol, addresses = sizeIPv6, p[6], p[8:sizeIPv6]
		if int(binary.BigEndian.Uint16(p[4:])) != len(p)-start {
			return 0, 0, false
		}
	default:
		return 0, 0, false
	}
	switch protocol {
	case protocolTCP:
		at = 16
	case protocolUDP:
		at = 6
	default:
		return 0, 0, false
	}
	size := len(p) - start
	if size < at+2 {
		return 0, 0, false
	}
	sum := checksum(uint32(protocol)+uint32(size), addresses)
	binary.BigEndian.PutUint16(p[start+at:], ^sum)
	return start, at, true
}
