package edit

import (
	"bytes"

	"microagent/runtime/disk/ext4/format"
	"microagent/runtime/disk/ext4/read"
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
	g := &editGroup{Group: d}
	g.first, g.count = e.GroupBlocks(n)
	e.groups[n] = g
	return g, nil
}

// blockBitmap loads a group's bitmap of blocks.
func (e *Editor) blockBitmap(n uint64, g *editGroup) error {
	if g.blocks != nil {
		return nil
	}
	b, err := e.BlockBitmap(n, g.Group)
	if err != nil {
		return err
	}
	g.blocks, g.before = b, bytes.Clone(b)
	return nil
}

// inodeBitmap loads a group's bitmap of inodes.
func (e *Editor) inodeBitmap(n uint64, g *editGroup) error {
	if g.inodes != nil {
		return nil
	}
	b, err := e.InodeBitmap(n, g.Group)
	if err != nil {
		return err
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
			*m.sum = e.BitmapCsum(m.bits, m.n)
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
