package ext4

import (
	"fmt"
	"time"
)

// inodeBytes is an inode's record, to be changed and then sealed.
func (e *Editor) inodeBytes(number uint32) ([]byte, error) {
	at, err := e.recordAt(number)
	if err != nil {
		return nil, err
	}
	b, err := e.edit(uint64(at / e.blockSize))
	if err != nil {
		return nil, err
	}
	return b[at%e.blockSize:][:e.super.inodeSize], nil
}

// sealInode writes a record's checksum.
func (e *Editor) sealInode(b []byte, number uint32) {
	if !e.csums() {
		return
	}
	wide := len(b) > 128 && le.Uint16(b[0x80:]) >= 4
	le.PutUint16(b[0x7C:], 0)
	if wide {
		le.PutUint16(b[0x82:], 0)
	}
	c := crc(inodeSeed(e.seed, number, le.Uint32(b[0x64:])), b)
	le.PutUint16(b[0x7C:], uint16(c))
	if wide {
		le.PutUint16(b[0x82:], uint16(c>>16))
	}
}

// putNew writes the record of a new inode.
func (e *Editor) putNew(number uint32, r *record) error {
	b, err := e.inodeBytes(number)
	if err != nil {
		return err
	}
	var whole [inodeSize]byte
	r.extra = inodeExtra
	r.put(whole[:], e.seed, number)
	clear(b)
	copy(b, whole[:])
	if !e.csums() {
		le.PutUint16(b[0x7C:], 0)
		if len(b) > 128 {
			le.PutUint16(b[0x82:], 0)
		}
	}
	e.sealInode(b, number)
	return nil
}

// newRecord is a record with its owner and times.
func (e *Editor) newRecord(kind uint32, attr Attr) record {
	m := stampOf(attr.Mtime)
	return record{
		mode: uint16(kind | attr.Mode&0o7777), uid: attr.UID, gid: attr.GID, links: 1,
		atime: m, mtime: m, ctime: e.now, btime: e.now, generation: e.now.nsec ^ uint32(e.now.sec),
	}
}

// touch sets times of change to now.
func (e *Editor) touch(b []byte, modified bool) {
	extra := 0
	if len(b) > 128 {
		extra = int(le.Uint16(b[0x80:]))
	}
	var spare [4]byte
	put := func(base, at int) {
		to := spare[:]
		if 128+extra >= at+4 {
			to = b[at:]
		}
		e.now.put(b[base:], to)
	}
	put(0x0C, 0x84)
	if modified {
		put(0x10, 0x88)
	}
}

// SetTime gives an inode a time of modification.
func (e *Editor) SetTime(number uint32, t time.Time) error {
	b, err := e.inodeBytes(number)
	if err != nil {
		return err
	}
	now := e.now
	e.now = stampOf(t)
	e.touch(b, true)
	e.now = now
	e.touch(b, false)
	e.sealInode(b, number)
	return nil
}

// setSectors writes how much an inode takes, in bytes.
func (e *Editor) setSectors(b []byte, bytes uint64) error {
	n := bytes / 512
	flags := le.Uint32(b[0x20:])
	if flags&inodeHuge != 0 {
		n = bytes / uint64(e.blockSize)
	}
	if n >= 1<<32 && e.super.ro&roHugeFile == 0 || n >= 1<<48 {
		return fmt.Errorf("%w: a file of %d bytes", ErrInvalid, bytes)
	}
	le.PutUint32(b[0x1C:], uint32(n))
	le.PutUint16(b[0x74:], uint16(n>>32))
	return nil
}

// putTree gives the root of an extent tree and the number of blocks below it.
func (e *Editor) putTree(list []extent, own uint32, goal uint64) (root [60]byte, nodes uint64, err error) {
	if len(list) <= extentsInline {
		putExtentHeader(root[:], len(list), extentsInline, 0)
		for i, x := range list {
			putExtent(root[12+12*i:], x)
		}
		return root, 0, nil
	}
	per := (int(e.blockSize) - 12) / 12
	type child struct {
		logical uint32
		block   uint64
	}
	level := make([]child, len(list))
	for i, x := range list {
		level[i].logical = x.logical
	}
	depth := 0
	for ; depth == 0 || len(level) > extentsInline; depth++ {
		var upper []child
		for from := 0; from < len(level); from += per {
			n := min(len(level)-from, per)
			at, err := e.block1(goal)
			if err != nil {
				return root, nodes, err
			}
			nodes++
			b := e.fresh(at)
			putExtentHeader(b, n, per, depth)
			for i := range n {
				if depth == 0 {
					putExtent(b[12+12*i:], list[from+i])
				} else {
					putExtentIndex(b[12+12*i:], level[from+i].logical, level[from+i].block)
				}
			}
			if e.csums() {
				end := 12 + 12*per
				le.PutUint32(b[end:], crc(own, b[:end]))
			}
			upper = append(upper, child{level[from].logical, at})
		}
		level = upper
	}
	putExtentHeader(root[:], len(level), extentsInline, depth)
	for i, c := range level {
		putExtentIndex(root[12+12*i:], c.logical, c.block)
	}
	return root, nodes, nil
}

// nodes are the blocks of a map itself.
func (e *Editor) nodes(n Inode) ([]uint64, error) {
	var list []uint64
	budget := mapBudget
	take := func(block uint64) ([]byte, error) {
		if budget--; budget < 0 {
			return nil, corruptf("map of inode %d has no end", n.Number)
		}
		list = append(list, block)
		return e.block(block)
	}
	var tree func(b []byte) error
	tree = func(b []byte) error {
		entries, depth := int(le.Uint16(b[2:])), int(le.Uint16(b[6:]))
		if depth == 0 {
			return nil
		}
		for i := range entries {
			x := b[12+12*i:]
			child, err := take(uint64(le.Uint32(x[4:])) | uint64(le.Uint16(x[8:]))<<32)
			if err != nil {
				return err
			}
			if err := tree(child); err != nil {
				return err
			}
		}
		return nil
	}
	var pointers func(block uint64, level int) error
	pointers = func(block uint64, level int) error {
		if block == 0 || level == 0 {
			return nil
		}
		b, err := take(block)
		for i := 0; err == nil && i < len(b); i += 4 {
			err = pointers(uint64(le.Uint32(b[i:])), level-1)
		}
		return err
	}
	if n.rec.flags&inodeExtents != 0 {
		return list, tree(n.rec.block[:])
	}
	for i := 12; i < 15; i++ {
		if err := pointers(uint64(le.Uint32(n.rec.block[4*i:])), i-11); err != nil {
			return list, err
		}
	}
	return list, nil
}

// unlink takes one name of an inode away, and the inode with its blocks if it was the last.
func (e *Editor) unlink(n Inode) error {
	b, err := e.inodeBytes(n.Number)
	if err != nil {
		return err
	}
	if n.Links > 1 {
		le.PutUint16(b[0x1A:], uint16(n.Links-1))
		e.touch(b, false)
		e.sealInode(b, n.Number)
		return nil
	}
	if err := e.forgetOrphan(n); err != nil {
		return err
	}
	if err := e.releaseContent(n); err != nil {
		return err
	}
	if err := e.releaseXattrs(n); err != nil {
		return err
	}
	le.PutUint16(b[0x1A:], 0)
	le.PutUint32(b[0x14:], uint32(e.now.sec))
	le.PutUint32(b[0x04:], 0)
	le.PutUint32(b[0x6C:], 0)
	le.PutUint32(b[0x1C:], 0)
	le.PutUint16(b[0x74:], 0)
	le.PutUint32(b[0x68:], 0)
	le.PutUint16(b[0x76:], 0)
	clear(b[0x28:0x64])
	if n.rec.flags&inodeExtents != 0 {
		putExtentHeader(b[0x28:], 0, extentsInline, 0)
	}
	e.touch(b, false)
	e.sealInode(b, n.Number)
	return e.freeInode(n.Number)
}

func (e *Editor) releaseContent(n Inode) error {
	if n.rec.flags&inodeInline != 0 || n.IsSymlink() && n.rec.flags&inodeExtents == 0 && n.Size < 60 {
		return nil
	}
	extents, err := e.Extents(n)
	if err != nil {
		return err
	}
	nodes, err := e.nodes(n)
	if err != nil {
		return err
	}
	for _, x := range extents {
		if err := e.release(run{uint64(x.Physical / e.blockSize), uint64(x.Length / e.blockSize)}); err != nil {
			return err
		}
	}
	for _, b := range nodes {
		if err := e.release(run{b, 1}); err != nil {
			return err
		}
	}
	return nil
}

// releaseXattrs gives back the block of extended attributes, which inodes can share.
func (e *Editor) releaseXattrs(n Inode) error {
	if e.super.incompat&incompatXattrInode != 0 {
		if _, err := e.Xattrs(n); err != nil {
			return err
		}
	}
	at := n.rec.xattrBlock
	if at == 0 {
		return nil
	}
	if !e.valid(at, 1) {
		return corruptf("xattr block of inode %d", n.Number)
	}
	b, err := e.edit(at)
	if err != nil {
		return err
	}
	users := le.Uint32(b[4:])
	if le.Uint32(b) != xattrMagic || users == 0 {
		return corruptf("xattr block of inode %d", n.Number)
	}
	if users == 1 {
		return e.release(run{at, 1})
	}
	le.PutUint32(b[4:], users-1)
	if e.csums() {
		le.PutUint32(b[16:], 0)
		le.PutUint32(b[16:], crc(crc64le(e.seed, at), b))
	}
	return nil
}

// forgetOrphan takes an inode off the list of those that the kernel has to truncate at the next mount.
func (e *Editor) forgetOrphan(n Inode) error {
	next := e.super.lastOrphan
	var before []byte // record of the one that leads to next
	var owner uint32
	for steps := 0; next != 0; steps++ {
		b, err := e.peekInode(next)
		if err != nil {
			return err
		}
		if steps > 1<<20 {
			return corruptf("the list of orphans has no end")
		}
		if next != n.Number {
			before, owner, next = b, next, le.Uint32(b[0x14:])
			continue
		}
		after := le.Uint32(b[0x14:])
		if before == nil {
			e.super.lastOrphan = after
			return nil
		}
		if before, err = e.inodeBytes(owner); err != nil {
			return err
		}
		le.PutUint32(before[0x14:], after)
		e.sealInode(before, owner)
		return nil
	}
	return nil
}

// peekInode reads a record that may be out of use.
func (e *Editor) peekInode(number uint32) ([]byte, error) {
	at, err := e.recordAt(number)
	if err != nil {
		return nil, err
	}
	b := make([]byte, e.super.inodeSize)
	return b, readFull(e.r, b, at)
}
