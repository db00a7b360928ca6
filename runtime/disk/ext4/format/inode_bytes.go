package format

// Offsets in an inode.
const (
	inodeMode           = 0x00
	inodeUID            = 0x02
	inodeSize           = 0x04
	inodeAtime          = 0x08
	inodeCtime          = 0x0C
	inodeMtime          = 0x10
	inodeDtime          = 0x14 // when it was deleted, or the next orphan
	inodeGID            = 0x18
	inodeLinks          = 0x1A
	inodeSectors        = 0x1C // in units of 512 bytes, or of blocks with InodeHuge
	inodeFlags          = 0x20
	inodeBlock          = 0x28 // 60 bytes
	inodeGeneration     = 0x64
	inodeXattrBlock     = 0x68
	inodeSizeHigh       = 0x6C
	inodeSectorsHigh    = 0x74
	inodeXattrBlockHigh = 0x76
	inodeUIDHigh        = 0x78
	inodeGIDHigh        = 0x7A
	inodeCsum           = 0x7C
	inodeExtra          = 0x80 // in use behind the first inodeBase
	inodeCsumHigh       = 0x82
	inodeCtimeExtra     = 0x84
	inodeMtimeExtra     = 0x88
	inodeAtimeExtra     = 0x8C
	inodeBtime          = 0x90
	inodeBtimeExtra     = 0x94

	inodeBase = 0x80 // bytes that every inode has
)

// InodeBytes is an inode as it lies on the disk, of 128 bytes or more, to be changed field by field: what no call names
// stays as it is. Seal comes last.
type InodeBytes []byte

// Links is how many names it has.
func (b InodeBytes) Links() uint16 { return LE.Uint16(b[inodeLinks:]) }

// SetLinks sets how many names it has.
func (b InodeBytes) SetLinks(n uint16) { LE.PutUint16(b[inodeLinks:], n) }

// SetSize sets its length in bytes.
func (b InodeBytes) SetSize(n uint64) {
	LE.PutUint32(b[inodeSize:], uint32(n))
	LE.PutUint32(b[inodeSizeHigh:], uint32(n>>32))
}

// SetSectors sets what it takes on the disk, 48 bits, in the units that its flags say.
func (b InodeBytes) SetSectors(n uint64) {
	LE.PutUint32(b[inodeSectors:], uint32(n))
	LE.PutUint16(b[inodeSectorsHigh:], uint16(n>>32))
}

// Flags are InodeExtents and the like.
func (b InodeBytes) Flags() uint32 { return LE.Uint32(b[inodeFlags:]) }

// AddFlags sets flags besides those that it has.
func (b InodeBytes) AddFlags(flags uint32) { LE.PutUint32(b[inodeFlags:], b.Flags()|flags) }

// Block is where the map of its blocks begins: 60 bytes of b itself.
func (b InodeBytes) Block() []byte { return b[inodeBlock:inodeGeneration] }

// XattrBlock is the block of its extended attributes; 0 where it has none.
func (b InodeBytes) XattrBlock() uint64 {
	return uint64(LE.Uint32(b[inodeXattrBlock:])) | uint64(LE.Uint16(b[inodeXattrBlockHigh:]))<<32
}

// SetXattrBlock sets the block of its extended attributes.
func (b InodeBytes) SetXattrBlock(n uint64) {
	LE.PutUint32(b[inodeXattrBlock:], uint32(n))
	LE.PutUint16(b[inodeXattrBlockHigh:], uint16(n>>32))
}

// NextOrphan is the inode behind it in the list of orphans, which lies in the field of SetDtime.
func (b InodeBytes) NextOrphan() uint32 { return LE.Uint32(b[inodeDtime:]) }

// SetNextOrphan sets the inode behind it in the list of orphans.
func (b InodeBytes) SetNextOrphan(number uint32) { LE.PutUint32(b[inodeDtime:], number) }

// SetDtime sets when it was deleted; a second is all that it holds.
func (b InodeBytes) SetDtime(s Stamp) { LE.PutUint32(b[inodeDtime:], uint32(s.Sec)) }

// SetCtime sets when it changed.
func (b InodeBytes) SetCtime(s Stamp) { b.setStamp(s, inodeCtime, inodeCtimeExtra) }

// SetMtime sets when its content changed.
func (b InodeBytes) SetMtime(s Stamp) { b.setStamp(s, inodeMtime, inodeMtimeExtra) }

// setStamp drops of a time what the inode has no room for.
func (b InodeBytes) setStamp(s Stamp, base, extra int) {
	var spare [4]byte
	to := spare[:]
	if b.end() >= extra+len(spare) {
		to = b[extra:]
	}
	s.Put(b[base:], to)
}

// end is behind the fields that the inode says it has.
func (b InodeBytes) end() int {
	if len(b) == inodeBase {
		return inodeBase
	}
	return inodeBase + int(LE.Uint16(b[inodeExtra:]))
}

// Seal writes the checksum of the inode with that number.
func (b InodeBytes) Seal(seed, number uint32) {
	c := b.sum(seed, number)
	LE.PutUint16(b[inodeCsum:], uint16(c))
	if b.wideCsum() {
		LE.PutUint16(b[inodeCsumHigh:], uint16(c>>16))
	}
}

// Unseal clears the checksum, for a file system that has none.
func (b InodeBytes) Unseal() {
	LE.PutUint16(b[inodeCsum:], 0)
	if len(b) > inodeBase {
		LE.PutUint16(b[inodeCsumHigh:], 0)
	}
}

// CsumOK verifies the checksum of the inode with that number.
func (b InodeBytes) CsumOK(seed, number uint32) bool {
	have, mask := uint32(LE.Uint16(b[inodeCsum:])), uint32(1<<16-1)
	if b.wideCsum() {
		have, mask = have|uint32(LE.Uint16(b[inodeCsumHigh:]))<<16, ^uint32(0)
	}
	return b.sum(seed, number)&mask == have
}

// wideCsum says whether the checksum has an upper half.
func (b InodeBytes) wideCsum() bool { return b.end() >= inodeCsumHigh+2 }

// sum takes the checksum's own fields as zero.
func (b InodeBytes) sum(seed, number uint32) uint32 {
	zero := make([]byte, 2)
	c := CRC(InodeSeed(seed, number, LE.Uint32(b[inodeGeneration:])), b[:inodeCsum])
	c = CRC(c, zero)
	if !b.wideCsum() {
		return CRC(c, b[inodeCsum+2:])
	}
	c = CRC(c, b[inodeCsum+2:inodeCsumHigh])
	c = CRC(c, zero)
	return CRC(c, b[inodeCsumHigh+2:])
}
