package edit

import (
	"bytes"
	"fmt"

	"microagent/runtime/disk/ext4/format"
	"microagent/runtime/disk/ext4/read"
	"microagent/runtime/disk/ext4/super"
)

// editGroup is a block group that is being changed.
type editGroup struct {
	format.Group
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
	d, err := e.Group(n)
	if err != nil {
		return nil, err
	}
	g := &editGroup{Group: d, first: uint64(e.Super.FirstDataBlock) + n*uint64(e.Super.BlocksPerGroup)}
	g.count = uint32(min(uint64(e.Super.BlocksPerGroup), e.Super.Blocks-g.first))
	e.groups[n] = g
	return g, nil
}

// blockBitmap loads a group's bitmap of blocks.
func (e *Editor) blockBitmap(n uint64, g *editGroup) error {
	if g.blocks != nil {
		return nil
	}
	var b []byte
	if e.Csums() && g.Flags&format.GroupBlockUninit != 0 {
		b = e.newBlockBitmap(n, g)
	} else {
		var err error
		if b, err = e.bitmap(g.Group.BlockBitmap, e.Super.BlocksPerGroup, g.BlockCsum); err != nil {
			return fmt.Errorf("block bitmap of group %d: %w", n, err)
		}
	}
	g.blocks, g.before = b, bytes.Clone(b)
	return nil
}

// bitmap reads a bitmap of so many bits and verifies it.
func (e *Editor) bitmap(at uint64, bits, sum uint32) ([]byte, error) {
	b, err := e.Block(at)
	if err != nil {
		return nil, err
	}
	if e.Csums() && e.bitmapCsum(b, bits) != sum {
		return nil, format.Corruptf("checksum")
	}
	return b, nil
}

func (e *Editor) bitmapCsum(b []byte, bits uint32) uint32 {
	c := format.CRC(e.Seed, b[:bits/8])
	if e.Super.DescSize < format.DescSize {
		c &= 0xFFFF
	}
	return c
}

// newBlockBitmap is the bitmap of a group that has nothing but its own metadata.
func (e *Editor) newBlockBitmap(n uint64, g *editGroup) []byte {
	b := make([]byte, e.BlockSize)
	format.SetBits(b, 0, baseBlocks(e.FS, n))
	mark := func(start, count uint64) {
		end := start + count
		start, end = max(start, g.first), min(end, g.first+uint64(g.count))
		if start < end {
			format.SetBits(b, start-g.first, end-g.first)
		}
	}
	mark(g.Group.BlockBitmap, 1)
	mark(g.Group.InodeBitmap, 1)
	mark(g.InodeTable, tableBlocks(e.FS))
	format.SetBits(b, uint64(g.count), uint64(8*e.BlockSize))
	return b
}

// tableBlocks is how long an inode table is.
func tableBlocks(f *read.FS) uint64 {
	return (uint64(f.Super.InodesPerGroup)*uint64(f.Super.InodeSize) + uint64(f.BlockSize) - 1) / uint64(f.BlockSize)
}

// baseBlocks is how many blocks copies of superblock and descriptors take at a group's beginning.
func baseBlocks(f *read.FS, n uint64) uint64 {
	s := &f.Super
	perBlock := uint64(f.BlockSize) / uint64(s.DescSize)
	has := s.HasCopy(n)
	blocks := uint64(0)
	if has {
		blocks = 1
	}
	if s.Incompat&super.MetaBG == 0 || n/perBlock < uint64(s.FirstMetaBG) {
		if has {
			descriptors := (f.Groups + perBlock - 1) / perBlock
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
	if e.Csums() && g.Flags&format.GroupInodeUninit != 0 {
		g.inodes = make([]byte, e.BlockSize)
		format.SetBits(g.inodes, uint64(e.Super.InodesPerGroup), uint64(8*e.BlockSize))
		return nil
	}
	b, err := e.bitmap(g.Group.InodeBitmap, e.Super.InodesPerGroup, g.InodeCsum)
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
		{g.Group.BlockBitmap, g.blocks, e.Super.BlocksPerGroup, &g.BlockCsum, format.GroupBlockUninit},
		{g.Group.InodeBitmap, g.inodes, e.Super.InodesPerGroup, &g.InodeCsum, format.GroupInodeUninit},
	} {
		if m.bits == nil || !e.Valid(m.at, 1) {
			continue
		}
		if g.Flags&m.flag == 0 && read.SameBytes(e.over, m.bits, int64(m.at)*e.BlockSize) {
			continue
		}
		copy(e.fresh(m.at), m.bits)
		g.Flags &^= m.flag
		if e.Csums() {
			*m.sum = e.bitmapCsum(m.bits, m.n)
		}
	}
	at := e.DescriptorAt(n)
	b, err := e.edit(uint64(at / e.BlockSize))
	if err != nil {
		return err
	}
	b = b[at%e.BlockSize:][:e.Super.DescSize]
	g.PutState(b)
	if e.Csums() {
		format.SealGroup(b, e.Seed, uint32(n))
	}
	return nil
}
