package ext4

import "microagent/runtime/disk/ext4/super"

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
	if e.super.Incompat&super.XattrInode != 0 {
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
	next := e.super.LastOrphan
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
			e.super.LastOrphan = after
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
	b := make([]byte, e.super.InodeSize)
	return b, readFull(e.r, b, at)
}
