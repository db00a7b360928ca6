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
	LE.PutUint16(b[inodeMode:], r.Mode)
	LE.PutUint16(b[inodeUID:], uint16(r.Uid))
	LE.PutUint32(b[inodeSize:], uint32(r.Size))
	r.Atime.Put(b[inodeAtime:], b[inodeAtimeExtra:])
	r.Ctime.Put(b[inodeCtime:], b[inodeCtimeExtra:])
	r.Mtime.Put(b[inodeMtime:], b[inodeMtimeExtra:])
	r.Btime.Put(b[inodeBtime:], b[inodeBtimeExtra:])
	LE.PutUint32(b[inodeDtime:], r.Dtime)
	LE.PutUint16(b[inodeGID:], uint16(r.Gid))
	LE.PutUint16(b[inodeLinks:], r.Links)
	LE.PutUint32(b[inodeSectors:], uint32(r.Sectors))
	LE.PutUint32(b[inodeFlags:], r.Flags)
	copy(b[inodeBlock:inodeGeneration], r.Block[:])
	LE.PutUint32(b[inodeGeneration:], r.Generation)
	LE.PutUint32(b[inodeXattrBlock:], uint32(r.XattrBlock))
	LE.PutUint32(b[inodeSizeHigh:], uint32(r.Size>>32))
	LE.PutUint16(b[inodeSectorsHigh:], uint16(r.Sectors>>32))
	LE.PutUint16(b[inodeXattrBlockHigh:], uint16(r.XattrBlock>>32))
	LE.PutUint16(b[inodeUIDHigh:], uint16(r.Uid>>16))
	LE.PutUint16(b[inodeGIDHigh:], uint16(r.Gid>>16))
	LE.PutUint16(b[inodeExtra:], r.Extra)
	copy(b[inodeBase+int(r.Extra):InodeSize], r.Inline)
	InodeBytes(b[:InodeSize]).Seal(seed, ino)
}

// ParseRecord reads a record of 128 bytes or more.
func ParseRecord(b []byte) Record {
	r := Record{
		Mode:       LE.Uint16(b[inodeMode:]),
		Uid:        uint32(LE.Uint16(b[inodeUID:])) | uint32(LE.Uint16(b[inodeUIDHigh:]))<<16,
		Gid:        uint32(LE.Uint16(b[inodeGID:])) | uint32(LE.Uint16(b[inodeGIDHigh:]))<<16,
		Size:       uint64(LE.Uint32(b[inodeSize:])) | uint64(LE.Uint32(b[inodeSizeHigh:]))<<32,
		Links:      LE.Uint16(b[inodeLinks:]),
		Sectors:    uint64(LE.Uint32(b[inodeSectors:])) | uint64(LE.Uint16(b[inodeSectorsHigh:]))<<32,
		Flags:      LE.Uint32(b[inodeFlags:]),
		Dtime:      LE.Uint32(b[inodeDtime:]),
		Generation: LE.Uint32(b[inodeGeneration:]),
		XattrBlock: uint64(LE.Uint32(b[inodeXattrBlock:])) | uint64(LE.Uint16(b[inodeXattrBlockHigh:]))<<32,
	}
	copy(r.Block[:], b[inodeBlock:inodeGeneration])
	var ax, cx, mx, bx []byte
	if len(b) >= inodeCtimeExtra {
		r.Extra = LE.Uint16(b[inodeExtra:])
		if int(r.Extra) > len(b)-inodeBase || r.Extra%4 != 0 {
			r.Extra = 0
		}
		end := inodeBase + int(r.Extra)
		if end >= inodeMtimeExtra {
			cx = b[inodeCtimeExtra:]
		}
		if end >= inodeAtimeExtra {
			mx = b[inodeMtimeExtra:]
		}
		if end >= inodeBtime {
			ax = b[inodeAtimeExtra:]
		}
		if end >= inodeBtimeExtra+4 {
			bx = b[inodeBtimeExtra:]
			r.Btime = parseStamp(b[inodeBtime:], bx)
		}
		if r.Extra > 0 {
			r.Inline = b[end:]
		}
	}
	r.Atime = parseStamp(b[inodeAtime:], ax)
	r.Ctime = parseStamp(b[inodeCtime:], cx)
	r.Mtime = parseStamp(b[inodeMtime:], mx)
	return r
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
