package format

import "time"

// Flags of an inode.
const (
	InodeIndex   = 0x1000     // a directory with an htree
	InodeHuge    = 0x40000    // blocks counts file system blocks
	InodeExtents = 0x80000    // block holds an extent tree
	InodeInline  = 0x10000000 // data lies in the inode
	InodeCrypt   = 0x800
)

// Record is an inode as it lies on disk.
type Record struct {
	Mode                       uint16
	Uid, Gid                   uint32
	Size                       uint64
	Links                      uint16
	Sectors                    uint64 // 512-byte units
	Flags                      uint32
	Block                      [60]byte
	Generation                 uint32
	XattrBlock                 uint64
	Atime, Ctime, Mtime, Btime Stamp
	Dtime                      uint32
	Extra                      uint16 // bytes in use behind the first 128
	Inline                     []byte // xattr space behind those; len is what the record has
}

// Stamp is a time in ext4's form: 34 bits of seconds from 1901 on, nanoseconds.
type Stamp struct {
	Sec  int64
	Nsec uint32
}

const (
	minStamp = -1 << 31
	maxStamp = minStamp + 1<<34 - 1
)

// StampOf clamps t to what ext4 can say.
func StampOf(t time.Time) Stamp {
	s := Stamp{t.Unix(), uint32(t.Nanosecond())}
	switch {
	case s.Sec < minStamp:
		return Stamp{Sec: minStamp}
	case s.Sec > maxStamp:
		return Stamp{Sec: maxStamp}
	}
	return s
}

// Time is the moment that the stamp stands for.
func (s Stamp) Time() time.Time { return time.Unix(s.Sec, int64(s.Nsec)).UTC() }

// Put writes the stamp: seconds to base, and what does not fit there with the nanoseconds to extra.
func (s Stamp) Put(base, extra []byte) {
	LE.PutUint32(base, uint32(s.Sec))
	epoch := uint32((s.Sec-int64(int32(s.Sec)))>>32) & 3
	LE.PutUint32(extra, s.Nsec<<2|epoch)
}

func parseStamp(base, extra []byte) Stamp {
	s := Stamp{Sec: int64(int32(LE.Uint32(base)))}
	if extra != nil {
		e := LE.Uint32(extra)
		s.Sec += int64(e&3) << 32
		s.Nsec = min(e>>2, 999999999)
	}
	return s
}

// Put writes a 256-byte record with its checksum.
func (r *Record) Put(b []byte, seed, ino uint32) {
	clear(b[:InodeSize])
	LE.PutUint16(b[0x00:], r.Mode)
	LE.PutUint16(b[0x02:], uint16(r.Uid))
	LE.PutUint32(b[0x04:], uint32(r.Size))
	r.Atime.Put(b[0x08:], b[0x8C:])
	r.Ctime.Put(b[0x0C:], b[0x84:])
	r.Mtime.Put(b[0x10:], b[0x88:])
	r.Btime.Put(b[0x90:], b[0x94:])
	LE.PutUint32(b[0x14:], r.Dtime)
	LE.PutUint16(b[0x18:], uint16(r.Gid))
	LE.PutUint16(b[0x1A:], r.Links)
	LE.PutUint32(b[0x1C:], uint32(r.Sectors))
	LE.PutUint32(b[0x20:], r.Flags)
	copy(b[0x28:0x64], r.Block[:])
	LE.PutUint32(b[0x64:], r.Generation)
	LE.PutUint32(b[0x68:], uint32(r.XattrBlock))
	LE.PutUint32(b[0x6C:], uint32(r.Size>>32))
	LE.PutUint16(b[0x74:], uint16(r.Sectors>>32))
	LE.PutUint16(b[0x76:], uint16(r.XattrBlock>>32))
	LE.PutUint16(b[0x78:], uint16(r.Uid>>16))
	LE.PutUint16(b[0x7A:], uint16(r.Gid>>16))
	LE.PutUint16(b[0x80:], r.Extra)
	copy(b[128+int(r.Extra):InodeSize], r.Inline)
	c := CRC(InodeSeed(seed, ino, r.Generation), b[:InodeSize])
	LE.PutUint16(b[0x7C:], uint16(c))
	LE.PutUint16(b[0x82:], uint16(c>>16))
}

// ParseRecord reads a record of 128 bytes or more.
func ParseRecord(b []byte) Record {
	r := Record{
		Mode:       LE.Uint16(b[0x00:]),
		Uid:        uint32(LE.Uint16(b[0x02:])) | uint32(LE.Uint16(b[0x78:]))<<16,
		Gid:        uint32(LE.Uint16(b[0x18:])) | uint32(LE.Uint16(b[0x7A:]))<<16,
		Size:       uint64(LE.Uint32(b[0x04:])) | uint64(LE.Uint32(b[0x6C:]))<<32,
		Links:      LE.Uint16(b[0x1A:]),
		Sectors:    uint64(LE.Uint32(b[0x1C:])) | uint64(LE.Uint16(b[0x74:]))<<32,
		Flags:      LE.Uint32(b[0x20:]),
		Dtime:      LE.Uint32(b[0x14:]),
		Generation: LE.Uint32(b[0x64:]),
		XattrBlock: uint64(LE.Uint32(b[0x68:])) | uint64(LE.Uint16(b[0x76:]))<<32,
	}
	copy(r.Block[:], b[0x28:0x64])
	var ax, cx, mx, bx []byte
	if len(b) >= 0x84 {
		r.Extra = LE.Uint16(b[0x80:])
		if int(r.Extra) > len(b)-128 || r.Extra%4 != 0 {
			r.Extra = 0
		}
		end := 128 + int(r.Extra)
		if end >= 0x88 {
			cx = b[0x84:]
		}
		if end >= 0x8C {
			mx = b[0x88:]
		}
		if end >= 0x90 {
			ax = b[0x8C:]
		}
		if end >= 0x98 {
			bx = b[0x94:]
			r.Btime = parseStamp(b[0x90:], bx)
		}
		if r.Extra > 0 {
			r.Inline = b[end:]
		}
	}
	r.Atime = parseStamp(b[0x08:], ax)
	r.Ctime = parseStamp(b[0x0C:], cx)
	r.Mtime = parseStamp(b[0x10:], mx)
	return r
}

// RecordCsumOK verifies a record's checksum. An all-zero record has none.
func RecordCsumOK(b []byte, seed, ino uint32) bool {
	generation := LE.Uint32(b[0x64:])
	have := uint32(LE.Uint16(b[0x7C:]))
	c := CRC(InodeSeed(seed, ino, generation), b[:0x7C])
	c = CRC(c, []byte{0, 0})
	if len(b) == 128 {
		return uint16(CRC(c, b[0x7E:])) == uint16(have)
	}
	c = CRC(c, b[0x7E:0x80])
	if extra := LE.Uint16(b[0x80:]); extra < 4 {
		return uint16(CRC(c, b[0x80:])) == uint16(have)
	}
	have |= uint32(LE.Uint16(b[0x82:])) << 16
	c = CRC(c, b[0x80:0x82])
	c = CRC(c, []byte{0, 0})
	return CRC(c, b[0x84:]) == have
}

// DeviceBlock is the block field of a device's inode.
func DeviceBlock(major, minor uint32) (b [60]byte) {
	if major < 256 && minor < 256 {
		LE.PutUint32(b[0:], major<<8|minor)
	} else {
		LE.PutUint32(b[4:], minor&0xFF|major<<8|minor&^0xFF<<12)
	}
	return b
}

// ParseDevice reads a device's number.
func ParseDevice(b *[60]byte) (major, minor uint32) {
	if v := LE.Uint32(b[0:]); v != 0 {
		return v >> 8 & 0xFF, v & 0xFF
	}
	v := LE.Uint32(b[4:])
	return v >> 8 & 0xFFF, v&0xFF | v>>12&0xFFF00
}
