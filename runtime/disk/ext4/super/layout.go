package super

import (
	"encoding/binary"
	"hash/crc32"
)

// CRC continues an ext4 checksum: CRC32C without the inversions that package crc32 does at both ends.
// Its table is made by who needs it first: a guest's init does not, and would wait for it.
func CRC(seed uint32, p []byte) uint32 {
	return ^crc32.Update(^seed, crc32.MakeTable(crc32.Castagnoli), p)
}

// codec moves fields out of b, or into it.
type codec struct {
	b     []byte
	write bool
}

func (c codec) u8(at int, v *uint8) {
	if c.write {
		c.b[at] = *v
	} else {
		*v = c.b[at]
	}
}

func (c codec) u16(at int, v *uint16) {
	if c.write {
		binary.LittleEndian.PutUint16(c.b[at:], *v)
	} else {
		*v = binary.LittleEndian.Uint16(c.b[at:])
	}
}

func (c codec) u32(at int, v *uint32) {
	if c.write {
		binary.LittleEndian.PutUint32(c.b[at:], *v)
	} else {
		*v = binary.LittleEndian.Uint32(c.b[at:])
	}
}

// split is a number whose upper half counts only where wide is set.
func (c codec) split(at, upper int, wide bool, v *uint64) {
	lo, hi := uint32(*v), uint32(*v>>32)
	c.u32(at, &lo)
	if wide {
		c.u32(upper, &hi)
	} else if !c.write {
		hi = 0
	}
	*v = uint64(lo) | uint64(hi)<<32
}

// time has 40 bits.
func (c codec) time(at, upper int, v *int64) {
	lo, hi := uint32(*v), uint8(*v>>32)
	c.u32(at, &lo)
	c.u8(upper, &hi)
	*v = int64(lo) | int64(hi)<<32
}

func (c codec) bytes(at int, v []byte) {
	if c.write {
		copy(c.b[at:], v)
	} else {
		copy(v, c.b[at:])
	}
}

// walk moves all fields, in the order of their offsets but for those that say which others count.
func (s *Superblock) walk(c codec) {
	c.u32(0x4C, &s.Revision)
	c.u32(0x5C, (*uint32)(&s.Compat))
	c.u32(IncompatOffset, (*uint32)(&s.Incompat))
	c.u32(ROOffset, (*uint32)(&s.ROCompat))
	wide := s.Incompat&Wide != 0

	c.u32(0x00, &s.Inodes)
	c.split(0x04, 0x150, wide, &s.Blocks)
	c.split(0x08, 0x154, wide, &s.ReservedBlocks)
	c.split(0x0C, 0x158, wide, &s.FreeBlocks)
	c.u32(0x10, &s.FreeInodes)
	c.u32(0x14, &s.FirstDataBlock)
	c.u32(0x18, &s.LogBlockSize)
	c.u32(0x1C, &s.LogClusterSize)
	c.u32(0x20, &s.BlocksPerGroup)
	c.u32(0x24, &s.ClustersPerGroup)
	c.u32(0x28, &s.InodesPerGroup)
	c.time(0x2C, 0x275, &s.LastMount)
	c.time(0x30, 0x274, &s.LastWrite)
	c.u16(0x34, &s.Mounts)
	c.u16(0x36, &s.MaxMounts)
	c.u16(0x3A, &s.State)
	c.u16(0x3C, &s.ErrorPolicy)
	c.time(0x40, 0x277, &s.LastCheck)
	if s.Revision > 0 {
		c.u32(0x54, &s.FirstInode)
		c.u16(0x58, &s.InodeSize)
	} else if !c.write {
		s.FirstInode, s.InodeSize = 11, 128
	}
	c.u16(0x5A, &s.Group)
	c.bytes(0x68, s.UUID[:])
	c.bytes(0x78, s.Label[:])
	c.u16(0xCE, &s.ReservedGDT)
	c.bytes(0xD0, s.JournalUUID[:])
	c.u32(0xE0, &s.JournalInode)
	c.u32(0xE4, &s.JournalDevice)
	c.u32(0xE8, &s.LastOrphan)
	c.bytes(0xEC, s.HashSeed[:])
	c.u8(0xFC, &s.DefaultHash)
	c.u8(0xFD, &s.JournalBackup)
	if wide {
		c.u16(0xFE, &s.DescSize)
	} else if !c.write {
		s.DescSize = 32
	}
	c.u32(0x100, &s.MountOptions)
	c.u32(0x104, &s.FirstMetaBG)
	c.time(0x108, 0x276, &s.Made)
	for i := range s.JournalBlocks {
		c.u32(0x10C+4*i, &s.JournalBlocks[i])
	}
	c.u16(0x15C, &s.MinExtra)
	c.u16(0x15E, &s.WantExtra)
	c.u32(0x160, &s.Flags)
	c.u16(0x166, &s.MMPInterval)
	c.split(0x168, 0x16C, true, &s.MMPBlock)
	c.u8(0x174, &s.LogFlex)
	c.u8(0x175, &s.ChecksumType)
	c.u32(0x24C, &s.BackupGroups[0])
	c.u32(0x250, &s.BackupGroups[1])
	c.u32(0x270, &s.ChecksumSeed)
	c.u32(0x280, &s.OrphanInode)
}
