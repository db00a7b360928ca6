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

// Offsets in a descriptor. Upper halves are in those of 64 bytes.
const (
	groupBlockBitmap      = 0x00
	groupInodeBitmap      = 0x04
	groupInodeTable       = 0x08
	groupFreeBlocks       = 0x0C
	groupFreeInodes       = 0x0E
	groupUsedDirs         = 0x10
	groupFlags            = 0x12
	groupBlockCsum        = 0x18
	groupInodeCsum        = 0x1A
	groupUnusedInodes     = 0x1C
	groupCsum             = 0x1E
	groupBlockBitmapHigh  = 0x20
	groupInodeBitmapHigh  = 0x24
	groupInodeTableHigh   = 0x28
	groupFreeBlocksHigh   = 0x2C
	groupFreeInodesHigh   = 0x2E
	groupUsedDirsHigh     = 0x30
	groupUnusedInodesHigh = 0x32
	groupBlockCsumHigh    = 0x38
	groupInodeCsumHigh    = 0x3A
)

// Put writes a 64-byte descriptor with its checksum.
func (g *Group) Put(b []byte, seed, number uint32) {
	b = b[:DescSize]
	clear(b)
	LE.PutUint32(b[groupBlockBitmap:], uint32(g.BlockBitmap))
	LE.PutUint32(b[groupInodeBitmap:], uint32(g.InodeBitmap))
	LE.PutUint32(b[groupInodeTable:], uint32(g.InodeTable))
	LE.PutUint32(b[groupBlockBitmapHigh:], uint32(g.BlockBitmap>>32))
	LE.PutUint32(b[groupInodeBitmapHigh:], uint32(g.InodeBitmap>>32))
	LE.PutUint32(b[groupInodeTableHigh:], uint32(g.InodeTable>>32))
	g.PutState(b)
	SealGroup(b, seed, number)
}

// PutState writes into a descriptor of 32 or 64 bytes what changes while files come and go: counts, flags and the checksums
// of the bitmaps.
func (g *Group) PutState(b []byte) {
	LE.PutUint16(b[groupFreeBlocks:], uint16(g.FreeBlocks))
	LE.PutUint16(b[groupFreeInodes:], uint16(g.FreeInodes))
	LE.PutUint16(b[groupUsedDirs:], uint16(g.UsedDirs))
	LE.PutUint16(b[groupFlags:], g.Flags)
	LE.PutUint16(b[groupBlockCsum:], uint16(g.BlockCsum))
	LE.PutUint16(b[groupInodeCsum:], uint16(g.InodeCsum))
	LE.PutUint16(b[groupUnusedInodes:], uint16(g.UnusedInodes))
	if len(b) < DescSize {
		return
	}
	LE.PutUint16(b[groupFreeBlocksHigh:], uint16(g.FreeBlocks>>16))
	LE.PutUint16(b[groupFreeInodesHigh:], uint16(g.FreeInodes>>16))
	LE.PutUint16(b[groupUsedDirsHigh:], uint16(g.UsedDirs>>16))
	LE.PutUint16(b[groupUnusedInodesHigh:], uint16(g.UnusedInodes>>16))
	LE.PutUint16(b[groupBlockCsumHigh:], uint16(g.BlockCsum>>16))
	LE.PutUint16(b[groupInodeCsumHigh:], uint16(g.InodeCsum>>16))
}

// SealGroup writes a descriptor's checksum.
func SealGroup(b []byte, seed, number uint32) {
	LE.PutUint16(b[groupCsum:], sumGroup(b, seed, number))
}

// GroupCsumOK verifies the checksum of a descriptor of any size.
func GroupCsumOK(b []byte, seed, number uint32) bool {
	return LE.Uint16(b[groupCsum:]) == sumGroup(b, seed, number)
}

// sumGroup takes the checksum's own field as zero.
func sumGroup(b []byte, seed, number uint32) uint16 {
	c := CRC(crc32le(seed, number), b[:groupCsum])
	c = CRC(c, []byte{0, 0})
	return uint16(CRC(c, b[groupCsum+2:]))
}

// Parse reads a descriptor of 32 bytes or more.
func (g *Group) Parse(b []byte) {
	g.BlockBitmap = uint64(LE.Uint32(b[groupBlockBitmap:]))
	g.InodeBitmap = uint64(LE.Uint32(b[groupInodeBitmap:]))
	g.InodeTable = uint64(LE.Uint32(b[groupInodeTable:]))
	g.FreeBlocks = uint32(LE.Uint16(b[groupFreeBlocks:]))
	g.FreeInodes = uint32(LE.Uint16(b[groupFreeInodes:]))
	g.UsedDirs = uint32(LE.Uint16(b[groupUsedDirs:]))
	g.Flags = LE.Uint16(b[groupFlags:])
	g.BlockCsum = uint32(LE.Uint16(b[groupBlockCsum:]))
	g.InodeCsum = uint32(LE.Uint16(b[groupInodeCsum:]))
	g.UnusedInodes = uint32(LE.Uint16(b[groupUnusedInodes:]))
	if len(b) < DescSize { // it has no upper halves
		return
	}
	g.BlockBitmap |= uint64(LE.Uint32(b[groupBlockBitmapHigh:])) << 32
	g.InodeBitmap |= uint64(LE.Uint32(b[groupInodeBitmapHigh:])) << 32
	g.InodeTable |= uint64(LE.Uint32(b[groupInodeTableHigh:])) << 32
	g.FreeBlocks |= uint32(LE.Uint16(b[groupFreeBlocksHigh:])) << 16
	g.FreeInodes |= uint32(LE.Uint16(b[groupFreeInodesHigh:])) << 16
	g.UsedDirs |= uint32(LE.Uint16(b[groupUsedDirsHigh:])) << 16
	g.UnusedInodes |= uint32(LE.Uint16(b[groupUnusedInodesHigh:])) << 16
	g.BlockCsum |= uint32(LE.Uint16(b[groupBlockCsumHigh:])) << 16
	g.InodeCsum |= uint32(LE.Uint16(b[groupInodeCsumHigh:])) << 16
}
