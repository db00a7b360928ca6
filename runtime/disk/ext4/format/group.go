package format

// Flags of a block group.
const (
	GroupInodeUninit = 1 // its inode bitmap and table hold nothing yet
	GroupBlockUninit = 2 // only its own copy of the superblock is in use
	GroupInodeZeroed = 4 // its unused inodes read as zeros
)

// Group is a block group descriptor.
type Group struct {
	BlockBitmap, InodeBitmap, InodeTable uint64
	FreeBlocks, FreeInodes, UsedDirs     uint32
	UnusedInodes                         uint32 // at the end of the table, never written
	Flags                                uint16
	BlockCsum, InodeCsum                 uint32 // of the bitmaps
}

// Put writes a 64-byte descriptor with its checksum.
func (g *Group) Put(b []byte, seed, number uint32) {
	clear(b[:DescSize])
	LE.PutUint32(b[0x00:], uint32(g.BlockBitmap))
	LE.PutUint32(b[0x04:], uint32(g.InodeBitmap))
	LE.PutUint32(b[0x08:], uint32(g.InodeTable))
	LE.PutUint16(b[0x0C:], uint16(g.FreeBlocks))
	LE.PutUint16(b[0x0E:], uint16(g.FreeInodes))
	LE.PutUint16(b[0x10:], uint16(g.UsedDirs))
	LE.PutUint16(b[0x12:], g.Flags)
	LE.PutUint16(b[0x18:], uint16(g.BlockCsum))
	LE.PutUint16(b[0x1A:], uint16(g.InodeCsum))
	LE.PutUint16(b[0x1C:], uint16(g.UnusedInodes))
	LE.PutUint32(b[0x20:], uint32(g.BlockBitmap>>32))
	LE.PutUint32(b[0x24:], uint32(g.InodeBitmap>>32))
	LE.PutUint32(b[0x28:], uint32(g.InodeTable>>32))
	LE.PutUint16(b[0x2C:], uint16(g.FreeBlocks>>16))
	LE.PutUint16(b[0x2E:], uint16(g.FreeInodes>>16))
	LE.PutUint16(b[0x30:], uint16(g.UsedDirs>>16))
	LE.PutUint16(b[0x32:], uint16(g.UnusedInodes>>16))
	LE.PutUint16(b[0x38:], uint16(g.BlockCsum>>16))
	LE.PutUint16(b[0x3A:], uint16(g.InodeCsum>>16))
	LE.PutUint16(b[0x1E:], GroupCsum(b[:DescSize], seed, number))
}

// GroupCsum is the checksum of a descriptor of any size, its own field taken as zero.
func GroupCsum(b []byte, seed, number uint32) uint16 {
	c := CRC(crc32le(seed, number), b[:0x1E])
	c = CRC(c, []byte{0, 0})
	return uint16(CRC(c, b[0x20:]))
}

// Parse reads a descriptor of 32 bytes or more.
func (g *Group) Parse(b []byte) {
	g.BlockBitmap = uint64(LE.Uint32(b[0x00:]))
	g.InodeBitmap = uint64(LE.Uint32(b[0x04:]))
	g.InodeTable = uint64(LE.Uint32(b[0x08:]))
	g.FreeBlocks = uint32(LE.Uint16(b[0x0C:]))
	g.FreeInodes = uint32(LE.Uint16(b[0x0E:]))
	g.UsedDirs = uint32(LE.Uint16(b[0x10:]))
	g.Flags = LE.Uint16(b[0x12:])
	g.BlockCsum = uint32(LE.Uint16(b[0x18:]))
	g.InodeCsum = uint32(LE.Uint16(b[0x1A:]))
	g.UnusedInodes = uint32(LE.Uint16(b[0x1C:]))
	if len(b) < DescSize {
		return
	}
	g.BlockBitmap |= uint64(LE.Uint32(b[0x20:])) << 32
	g.InodeBitmap |= uint64(LE.Uint32(b[0x24:])) << 32
	g.InodeTable |= uint64(LE.Uint32(b[0x28:])) << 32
	g.FreeBlocks |= uint32(LE.Uint16(b[0x2C:])) << 16
	g.FreeInodes |= uint32(LE.Uint16(b[0x2E:])) << 16
	g.UsedDirs |= uint32(LE.Uint16(b[0x30:])) << 16
	g.UnusedInodes |= uint32(LE.Uint16(b[0x32:])) << 16
	g.BlockCsum |= uint32(LE.Uint16(b[0x38:])) << 16
	g.InodeCsum |= uint32(LE.Uint16(b[0x3A:])) << 16
}
