package ext4

import "time"

// Flags of an inode.
const (
	inodeIndex   = 0x1000     // a directory with an htree
	inodeHuge    = 0x40000    // blocks counts file system blocks
	inodeExtents = 0x80000    // block holds an extent tree
	inodeInline  = 0x10000000 // data lies in the inode
	inodeCrypt   = 0x800
)

// record is an inode as it lies on disk.
type record struct {
	mode                       uint16
	uid, gid                   uint32
	size                       uint64
	links                      uint16
	sectors                    uint64 // 512-byte units
	flags                      uint32
	block                      [60]byte
	generation                 uint32
	xattrBlock                 uint64
	atime, ctime, mtime, btime stamp
	dtime                      uint32
	extra                      uint16 // bytes in use behind the first 128
	inline                     []byte // xattr space behind those; len is what the record has
}

// stamp is a time in ext4's form: 34 bits of seconds from 1901 on, nanoseconds.
type stamp struct {
	sec  int64
	nsec uint32
}

const (
	minStamp = -1 << 31
	maxStamp = minStamp + 1<<34 - 1
)

// stampOf clamps t to what ext4 can say.
func stampOf(t time.Time) stamp {
	s := stamp{t.Unix(), uint32(t.Nanosecond())}
	switch {
	case s.sec < minStamp:
		return stamp{sec: minStamp}
	case s.sec > maxStamp:
		return stamp{sec: maxStamp}
	}
	return s
}

func (s stamp) time() time.Time { return time.Unix(s.sec, int64(s.nsec)).UTC() }

func (s stamp) put(base, extra []byte) {
	le.PutUint32(base, uint32(s.sec))
	epoch := uint32((s.sec-int64(int32(s.sec)))>>32) & 3
	le.PutUint32(extra, s.nsec<<2|epoch)
}

func parseStamp(base, extra []byte) stamp {
	s := stamp{sec: int64(int32(le.Uint32(base)))}
	if extra != nil {
		e := le.Uint32(extra)
		s.sec += int64(e&3) << 32
		s.nsec = min(e>>2, 999999999)
	}
	return s
}

// put writes a 256-byte record with its checksum.
func (r *record) put(b []byte, seed, ino uint32) {
	clear(b[:inodeSize])
	le.PutUint16(b[0x00:], r.mode)
	le.PutUint16(b[0x02:], uint16(r.uid))
	le.PutUint32(b[0x04:], uint32(r.size))
	r.atime.put(b[0x08:], b[0x8C:])
	r.ctime.put(b[0x0C:], b[0x84:])
	r.mtime.put(b[0x10:], b[0x88:])
	r.btime.put(b[0x90:], b[0x94:])
	le.PutUint32(b[0x14:], r.dtime)
	le.PutUint16(b[0x18:], uint16(r.gid))
	le.PutUint16(b[0x1A:], r.links)
	le.PutUint32(b[0x1C:], uint32(r.sectors))
	le.PutUint32(b[0x20:], r.flags)
	copy(b[0x28:0x64], r.block[:])
	le.PutUint32(b[0x64:], r.generation)
	le.PutUint32(b[0x68:], uint32(r.xattrBlock))
	le.PutUint32(b[0x6C:], uint32(r.size>>32))
	le.PutUint16(b[0x74:], uint16(r.sectors>>32))
	le.PutUint16(b[0x76:], uint16(r.xattrBlock>>32))
	le.PutUint16(b[0x78:], uint16(r.uid>>16))
	le.PutUint16(b[0x7A:], uint16(r.gid>>16))
	le.PutUint16(b[0x80:], r.extra)
	copy(b[128+int(r.extra):inodeSize], r.inline)
	c := crc(inodeSeed(seed, ino, r.generation), b[:inodeSize])
	le.PutUint16(b[0x7C:], uint16(c))
	le.PutUint16(b[0x82:], uint16(c>>16))
}

// parseRecord reads a record of 128 bytes or more.
func parseRecord(b []byte) record {
	r := record{
		mode:       le.Uint16(b[0x00:]),
		uid:        uint32(le.Uint16(b[0x02:])) | uint32(le.Uint16(b[0x78:]))<<16,
		gid:        uint32(le.Uint16(b[0x18:])) | uint32(le.Uint16(b[0x7A:]))<<16,
		size:       uint64(le.Uint32(b[0x04:])) | uint64(le.Uint32(b[0x6C:]))<<32,
		links:      le.Uint16(b[0x1A:]),
		sectors:    uint64(le.Uint32(b[0x1C:])) | uint64(le.Uint16(b[0x74:]))<<32,
		flags:      le.Uint32(b[0x20:]),
		dtime:      le.Uint32(b[0x14:]),
		generation: le.Uint32(b[0x64:]),
		xattrBlock: uint64(le.Uint32(b[0x68:])) | uint64(le.Uint16(b[0x76:]))<<32,
	}
	copy(r.block[:], b[0x28:0x64])
	var ax, cx, mx, bx []byte
	if len(b) >= 0x84 {
		r.extra = le.Uint16(b[0x80:])
		if int(r.extra) > len(b)-128 || r.extra%4 != 0 {
			r.extra = 0
		}
		end := 128 + int(r.extra)
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
			r.btime = parseStamp(b[0x90:], bx)
		}
		if r.extra > 0 {
			r.inline = b[end:]
		}
	}
	r.atime = parseStamp(b[0x08:], ax)
	r.ctime = parseStamp(b[0x0C:], cx)
	r.mtime = parseStamp(b[0x10:], mx)
	return r
}

// recordCsumOK verifies a record's checksum. An all-zero record has none.
func recordCsumOK(b []byte, seed, ino uint32) bool {
	generation := le.Uint32(b[0x64:])
	have := uint32(le.Uint16(b[0x7C:]))
	c := crc(inodeSeed(seed, ino, generation), b[:0x7C])
	c = crc(c, []byte{0, 0})
	if len(b) == 128 {
		return uint16(crc(c, b[0x7E:])) == uint16(have)
	}
	c = crc(c, b[0x7E:0x80])
	if extra := le.Uint16(b[0x80:]); extra < 4 {
		return uint16(crc(c, b[0x80:])) == uint16(have)
	}
	have |= uint32(le.Uint16(b[0x82:])) << 16
	c = crc(c, b[0x80:0x82])
	c = crc(c, []byte{0, 0})
	return crc(c, b[0x84:]) == have
}

// deviceBlock is the block field of a device's inode.
func deviceBlock(major, minor uint32) (b [60]byte) {
	if major < 256 && minor < 256 {
		le.PutUint32(b[0:], major<<8|minor)
	} else {
		le.PutUint32(b[4:], minor&0xFF|major<<8|minor&^0xFF<<12)
	}
	return b
}

// parseDevice reads a device's number.
func parseDevice(b *[60]byte) (major, minor uint32) {
	if v := le.Uint32(b[0:]); v != 0 {
		return v >> 8 & 0xFF, v & 0xFF
	}
	v := le.Uint32(b[4:])
	return v >> 8 & 0xFFF, v&0xFF | v>>12&0xFFF00
}
