package ext4

import "strings"

// Mkdir makes a directory, or gives the one that has the name already.
func (e *Editor) Mkdir(dir Inode, name string, attr Attr) (n Inode, made bool, err error) {
	if strings.ContainsAny(name, "/\x00") || name == "" || name == "." || name == ".." || len(name) > maxName {
		_, _, err := e.place(dir, name)
		return Inode{}, false, err
	}
	d, err := e.directory(dir.Number)
	if err != nil {
		return Inode{}, false, err
	}
	if s, err := d.find(name); err == nil {
		if n, err = e.Inode(s.inode); err == nil && !n.IsDir() {
			_, err = e.directory(n.Number)
		}
		return n, false, err
	}
	near := uint64(dir.Number-1) / uint64(e.super.InodesPerGroup)
	number, err := e.newInode(near, true)
	if err != nil {
		return Inode{}, false, err
	}
	at, err := e.block1(d.blocks[0])
	if err != nil {
		return Inode{}, false, err
	}
	rec := e.newRecord(ModeDir, attr)
	rec.links, rec.size, rec.flags = 2, uint64(e.blockSize), inodeExtents
	if rec.block, _, err = e.putTree(appendBlocks(nil, 0, at, 1), 0, 0); err != nil {
		return Inode{}, false, err
	}
	if err := e.putNew(number, &rec); err != nil {
		return Inode{}, false, err
	}
	if err := e.charge(number, uint64(e.blockSize)); err != nil {
		return Inode{}, false, err
	}
	child := &directory{e: e, own: inodeSeed(e.seed, number, rec.generation)}
	b := e.fresh(at)
	putDirent(b, number, 12, ".", 2)
	putDirent(b[12:], dir.Number, child.end()-12, "..", 2)
	child.seal(b)
	if err := d.insert(name, number, direntTypes[ModeDir>>12]); err != nil {
		return Inode{}, false, err
	}
	n, err = e.Inode(number)
	return n, true, err
}
