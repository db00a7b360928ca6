package edit

import (
	"strings"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/format"
	"microagent/runtime/disk/ext4/read"
)

// Mkdir makes a directory, or gives the one that has the name already.
func (e *Editor) Mkdir(dir read.Inode, name string, attr ext4.Attr) (n read.Inode, made bool, err error) {
	if strings.ContainsAny(name, "/\x00") || name == "" || name == "." || name == ".." || len(name) > format.MaxName {
		_, _, err := e.place(dir, name)
		return read.Inode{}, false, err
	}
	d, err := e.directory(dir.Number)
	if err != nil {
		return read.Inode{}, false, err
	}
	if s, err := d.find(name); err == nil {
		if n, err = e.Inode(s.inode); err == nil && !n.IsDir() {
			_, err = e.directory(n.Number)
		}
		return n, false, err
	}
	near := uint64(dir.Number-1) / uint64(e.Super.InodesPerGroup)
	number, err := e.newInode(near, true)
	if err != nil {
		return read.Inode{}, false, err
	}
	at, err := e.takeBlock(d.blocks[0])
	if err != nil {
		return read.Inode{}, false, err
	}
	rec := e.newRecord(ext4.ModeDir, attr)
	rec.Links, rec.Size, rec.Flags = 2, uint64(e.BlockSize), format.InodeExtents
	if rec.Block, _, err = e.putTree(format.AppendBlocks(nil, 0, at, 1), 0, 0); err != nil {
		return read.Inode{}, false, err
	}
	if err := e.putNew(number, &rec); err != nil {
		return read.Inode{}, false, err
	}
	if err := e.charge(number, uint64(e.BlockSize)); err != nil {
		return read.Inode{}, false, err
	}
	child := &directory{e: e, own: format.InodeSeed(e.Seed, number, rec.Generation)}
	b := e.fresh(at)
	format.PutDots(b, number, dir.Number, child.end())
	child.seal(b)
	if err := d.insert(name, number, format.DirentTypes[ext4.ModeDir>>12]); err != nil {
		return read.Inode{}, false, err
	}
	n, err = e.Inode(number)
	return n, true, err
}
