package ext4

// Flags of a block group.
const (
	groupInodeUninit = 1 // its inode bitmap and table hold nothing yet
	groupBlockUninit = 2 // only its own copy of the superblock is in use
	groupInodeZeroed = 4 // its unused inodes read as zeros
)

// group is a block group descriptor.
type group struct {
	blockBitmap, inodeBitmap, inodeTable uint64
	freeBlocks, freeInodes, usedDirs     uint32
	unusedInodes                         uint32 // at the end of the table, never written
	flags                                uint16
	blockCsum, inodeCsum                 uint32 // of the bitmaps
}

// put writes a 64-byte descriptor with its checksum.
func (g *group) put(b []byte, seed, number uint32) {
	clear(b[:descSize])
	le.PutUint32(b[0x00:], uint32(g.blockBitmap))
	le.PutUint32(b[0x04:], uint32(g.inodeBitmap))
	le.PutUint32(b[0x08:], uint32(g.inodeTable))
	le.PutUint16(b[0x0C:], uint16(g.freeBlocks))
	le.PutUint16(b[0x0E:], uint16(g.freeInodes))
	le.PutUint16(b[0x10:], uint16(g.usedDirs))
	le.PutUint16(b[0x12:], g.flags)
	le.PutUint16(b[0x18:], uint16(g.blockCsum))
	le.PutUint16(b[0x1A:], uint16(g.inodeCsum))
	le.PutUint16(b[0x1C:], uint16(g.unusedInodes))
	le.PutUint32(b[0x20:], uint32(g.blockBitmap>>32))
	le.PutUint32(b[0x24:], uint32(g.inodeBitmap>>32))
	le.PutUint32(b[0x28:], uint32(g.inodeTable>>32))
	le.PutUint16(b[0x2C:], uint16(g.freeBlocks>>16))
	le.PutUint16(b[0x2E:], uint16(g.freeInodes>>16))
	le.PutUint16(b[0x30:], uint16(g.usedDirs>>16))
	le.PutUint16(b[0x32:], uint16(g.unusedInodes>>16))
	le.PutUint16(b[0x38:], uint16(g.blockCsum>>16))
	le.PutUint16(b[0x3A:], uint16(g.inodeCsum>>16))
	le.PutUint16(b[0x1E:], groupCsum(b[:descSize], seed, number))
}

// groupCsum is the checksum of a descriptor of any size, its own field taken as zero.
func groupCsum(b []byte, seed, number uint32) uint16 {
	c := crc(crc32le(seed, number), b[:0x1E])
	c = crc(c, []byte{0, 0})
	return uint16(crc(c, b[0x20:]))
}

// parse reads a descriptor of 32 bytes or more.
func (g *group) parse(b []byte) {
	g.blockBitmap = uint64(le.Uint32(b[0x00:]))
	g.inodeBitmap = uint64(le.Uint32(b[0x04:]))
	g.inodeTable = uint64(le.Uint32(b[0x08:]))
	g.freeBlocks = uint32(le.Uint16(b[0x0C:]))
	g.freeInodes = uint32(le.Uint16(b[0x0E:]))
	g.usedDirs = uint32(le.Uint16(b[0x10:]))
	g.flags = le.Uint16(b[0x12:])
	g.blockCsum = uint32(le.Uint16(b[0x18:]))
	g.inodeCsum = uint32(le.Uint16(b[0x1A:]))
	g.unusedInodes = uint32(le.Uint16(b[0x1C:]))
	if len(b) < descSize {
		return
	}
	g.blockBitmap |= uint64(le.Uint32(b[0x20:])) << 32
	g.inodeBitmap |= uint64(le.Uint32(b[0x24:])) << 32
	g.inodeTable |= uint64(le.Uint32(b[0x28:])) << 32
	g.freeBlocks |= uint32(le.Uint16(b[0x2C:])) << 16
	g.freeInodes |= uint32(le.Uint16(b[0x2E:])) << 16
	g.usedDirs |= uint32(le.Uint16(b[0x30:])) << 16
	g.unusedInodes |= uint32(le.Uint16(b[0x32:])) << 16
	g.blockCsum |= uint32(le.Uint16(b[0x38:])) << 16
	g.inodeCsum |= uint32(le.Uint16(b[0x3A:])) << 16
}
