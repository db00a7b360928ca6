package ext4

import (
	"bytes"
	"fmt"

	"microagent/runtime/disk/ext4/super"
)

// editGroup is a block group that is being changed.
type editGroup struct {
	group
	first   uint64 // block
	count   uint32 // blocks
	blocks  []byte // bitmaps, nil until they are needed
	inodes  []byte
	before  []byte // blocks as the last commit left it: what is in use there must not be written yet
	changed bool
}

func (g *editGroup) committed() {
	g.changed = false
	if g.blocks != nil {
		copy(g.before, g.blocks)
	}
}

func (e *Editor) groupFor(n uint64) (*editGroup, error) {
	if g, ok := e.groups[n]; ok {
		return g, nil
	}
	d, err := e.group(n)
	if err != nil {
		return nil, err
	}
	g := &editGroup{group: d, first: uint64(e.super.FirstDataBlock) + n*uint64(e.super.BlocksPerGroup)}
	g.count = uint32(min(uint64(e.super.BlocksPerGroup), e.super.Blocks-g.first))
	e.groups[n] = g
	return g, nil
}

// blockBitmap loads a group's bitmap of blocks.
func (e *Editor) blockBitmap(n uint64, g *editGroup) error {
	if g.blocks != nil {
		return nil
	}
	var b []byte
	if e.csums() && g.flags&groupBlockUninit != 0 {
		b = e.newBlockBitmap(n, g)
	} else {
		var err error
		if b, err = e.bitmap(g.group.blockBitmap, e.super.BlocksPerGroup, g.blockCsum); err != nil {
			return fmt.Errorf("block bitmap of group %d: %w", n, err)
		}
	}
	g.blocks, g.before = b, bytes.Clone(b)
	return nil
}

// bitmap reads a bitmap of so many bits and verifies it.
func (e *Editor) bitmap(at uint64, bits, sum uint32) ([]byte, error) {
	b, err := e.block(at)
	if err != nil {
		return nil, err
	}
	if e.csums() && e.bitmapCsum(b, bits) != sum {
		return nil, corruptf("checksum")
	}
	return b, nil
}

func (e *Editor) bitmapCsum(b []byte, bits uint32) uint32 {
	c := crc(e.seed, b[:bits/8])
	if e.super.DescSize < descSize {
		c &= 0xFFFF
	}
	return c
}

// newBlockBitmap is the bitmap of a group that has nothing but its own metadata.
func (e *Editor) newBlockBitmap(n uint64, g *editGroup) []byte {
	b := make([]byte, e.blockSize)
	setBits(b, 0, e.baseBlocks(n))
	mark := func(start, count uint64) {
		end := start + count
		start, end = max(start, g.first), min(end, g.first+uint64(g.count))
		if start < end {
			setBits(b, start-g.first, end-g.first)
		}
	}
	mark(g.group.blockBitmap, 1)
	mark(g.group.inodeBitmap, 1)
	mark(g.inodeTable, e.tableBlocks())
	setBits(b, uint64(g.count), uint64(8*e.blockSize))
	return b
}

// tableBlocks is how long an inode table is.
func (f *FS) tableBlocks() uint64 {
	return (uint64(f.super.InodesPerGroup)*uint64(f.super.InodeSize) + uint64(f.blockSize) - 1) / uint64(f.blockSize)
}

// baseBlocks is how many blocks copies of superblock and descriptors take at a group's beginning.
func (f *FS) baseBlocks(n uint64) uint64 {
	s := &f.super
	perBlock := uint64(f.blockSize) / uint64(s.DescSize)
	has := s.HasCopy(n)
	blocks := uint64(0)
	if has {
		blocks = 1
	}
	if s.Incompat&super.MetaBG == 0 || n/perBlock < uint64(s.FirstMetaBG) {
		if has {
			descriptors := (f.groups + perBlock - 1) / perBlock
			if s.Incompat&super.MetaBG != 0 {
				descriptors = uint64(s.FirstMetaBG)
			}
			blocks += descriptors + uint64(s.ReservedGDT)
		}
	} else if i := n % perBlock; i == 0 || i == 1 || i == perBlock-1 {
		blocks++
	}
	return blocks
}

// inodeBitmap loads a group's bitmap of inodes.
func (e *Editor) inodeBitmap(n uint64, g *editGroup) error {
	if g.inodes != nil {
		return nil
	}
	if e.csums() && g.flags&groupInodeUninit != 0 {
		g.inodes = make([]byte, e.blockSize)
		setBits(g.inodes, uint64(e.super.InodesPerGroup), uint64(8*e.blockSize))
		return nil
	}
	b, err := e.bitmap(g.group.inodeBitmap, e.super.InodesPerGroup, g.inodeCsum)
	if err != nil {
		return fmt.Errorf("inode bitmap of group %d: %w", n, err)
	}
	g.inodes = b
	return nil
}

// settleGroup brings bitmaps and descriptor into the transaction.
func (e *Editor) settleGroup(n uint64, g *editGroup) error {
	for _, m := range []struct {
		at   uint64
		bits []byte
		n    uint32
		sum  *uint32
		flag uint16
	}{
		{g.group.blockBitmap, g.blocks, e.super.BlocksPerGroup, &g.blockCsum, groupBlockUninit},
		{g.group.inodeBitmap, g.inodes, e.super.InodesPerGroup, &g.inodeCsum, groupInodeUninit},
	} {
		if m.bits == nil || !e.valid(m.at, 1) {
			continue
		}
		if g.flags&m.flag == 0 && sameBytes(e.over, m.bits, int64(m.at)*e.blockSize) {
			continue
		}
		copy(e.fresh(m.at), m.bits)
		g.flags &^= m.flag
		if e.csums() {
			*m.sum = e.bitmapCsum(m.bits, m.n)
		}
	}
	at := e.descriptorAt(n)
	b, err := e.edit(uint64(at / e.blockSize))
	if err != nil {
		return err
	}
	e.putGroup(b[at%e.blockSize:][:e.super.DescSize], &g.group, uint32(n))
	return nil
}

// putGroup writes what changes of a descriptor.
func (e *Editor) putGroup(b []byte, g *group, n uint32) {
	le.PutUint16(b[0x0C:], uint16(g.freeBlocks))
	le.PutUint16(b[0x0E:], uint16(g.freeInodes))
	le.PutUint16(b[0x10:], uint16(g.usedDirs))
	le.PutUint16(b[0x12:], g.flags)
	le.PutUint16(b[0x18:], uint16(g.blockCsum))
	le.PutUint16(b[0x1A:], uint16(g.inodeCsum))
	le.PutUint16(b[0x1C:], uint16(g.unusedInodes))
	if len(b) >= descSize {
		le.PutUint16(b[0x2C:], uint16(g.freeBlocks>>16))
		le.PutUint16(b[0x2E:], uint16(g.freeInodes>>16))
		le.PutUint16(b[0x30:], uint16(g.usedDirs>>16))
		le.PutUint16(b[0x32:], uint16(g.unusedInodes>>16))
		le.PutUint16(b[0x38:], uint16(g.blockCsum>>16))
		le.PutUint16(b[0x3A:], uint16(g.inodeCsum>>16))
	}
	if e.csums() {
		le.PutUint16(b[0x1E:], groupCsum(b, e.seed, n))
	}
}
