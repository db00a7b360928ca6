package edit

import (
	"microagent/runtime/disk/ext4/format"
	"microagent/runtime/disk/ext4/read"
	"microagent/runtime/disk/ext4/super"
)

// unlink takes one name of an inode away, and the inode with its blocks if it was the last.
func (e *Editor) unlink(n read.Inode) error {
	b, err := e.inodeBytes(n.Number)
	if err != nil {
		return err
	}
	if n.Links > 1 {
		b.SetLinks(uint16(n.Links - 1))
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
	b.SetLinks(0)
	b.SetDtime(e.now)
	b.SetSize(0)
	b.SetSectors(0)
	b.SetXattrBlock(0)
	clear(b.Block())
	if n.Rec.Flags&format.InodeExtents != 0 {
		format.PutExtentHeader(b.Block(), 0, format.ExtentsInline, 0)
	}
	e.touch(b, false)
	e.sealInode(b, n.Number)
	return e.freeInode(n.Number)
}

func (e *Editor) releaseContent(n read.Inode) error {
	if n.Rec.Flags&format.InodeInline != 0 || n.IsSymlink() && n.Rec.Flags&format.InodeExtents == 0 && n.Size < 60 {
		return nil
	}
	extents, err := e.Extents(n)
	if err != nil {
		return err
	}
	nodes, err := e.treeNodes(n)
	if err != nil {
		return err
	}
	for _, x := range extents {
		if err := e.release(format.Run{Start: uint64(x.Physical / e.BlockSize), Count: uint64(x.Length / e.BlockSize)}); err != nil {
			return err
		}
	}
	for _, b := range nodes {
		if err := e.release(format.Run{Start: b, Count: 1}); err != nil {
			return err
		}
	}
	return nil
}

// releaseXattrs gives back the block of extended attributes, which inodes can share.
func (e *Editor) releaseXattrs(n read.Inode) error {
	if e.Super.Incompat&super.XattrInode != 0 {
		if _, err := e.Xattrs(n); err != nil {
			return err
		}
	}
	at := n.Rec.XattrBlock
	if at == 0 {
		return nil
	}
	if !e.Valid(at, 1) {
		return format.Corruptf("xattr block of inode %d", n.Number)
	}
	b, err := e.edit(at)
	if err != nil {
		return err
	}
	users := format.LE.Uint32(b[format.XattrUsers:])
	if format.LE.Uint32(b) != format.XattrMagic || users == 0 {
		return format.Corruptf("xattr block of inode %d", n.Number)
	}
	if users == 1 {
		return e.release(format.Run{Start: at, Count: 1})
	}
	format.LE.PutUint32(b[format.XattrUsers:], users-1)
	if e.Csums() {
		format.SealXattrs(b, e.Seed, at)
	}
	return nil
}

// forgetOrphan takes an inode off the list of those that the kernel has to truncate at the next mount.
func (e *Editor) forgetOrphan(n read.Inode) error {
	next := e.Super.LastOrphan
	var before format.InodeBytes // record of the one that leads to next
	var owner uint32
	for steps := 0; next != 0; steps++ {
		b, err := e.peekInode(next)
		if err != nil {
			return err
		}
		if steps > 1<<20 {
			return format.Corruptf("the list of orphans has no end")
		}
		if next != n.Number {
			before, owner, next = b, next, b.NextOrphan()
			continue
		}
		after := b.NextOrphan()
		if before == nil {
			e.Super.LastOrphan = after
			return nil
		}
		if before, err = e.inodeBytes(owner); err != nil {
			return err
		}
		before.SetNextOrphan(after)
		e.sealInode(before, owner)
		return nil
	}
	return nil
}

// peekInode reads a record that may be out of use.
func (e *Editor) peekInode(number uint32) (format.InodeBytes, error) {
	at, err := e.RecordAt(number)
	if err != nil {
		return nil, err
	}
	b := make(format.InodeBytes, e.Super.InodeSize)
	return b, format.ReadFull(e.R, b, at)
}
