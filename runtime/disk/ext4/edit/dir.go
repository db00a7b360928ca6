package edit

import (
	"io/fs"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/format"
	"microagent/runtime/disk/ext4/read"
	"microagent/runtime/disk/ext4/super"
)

// directory is a directory that is being changed.
type directory struct {
	e      *Editor
	inode  read.Inode
	own    uint32   // begins the checksums of its blocks
	blocks []uint64 // where each of its blocks lies
	// unsigned says how its index takes names' characters.
	unsigned bool
}

// directory begins changing a directory.
func (e *Editor) directory(number uint32) (*directory, error) {
	n, err := e.Inode(number)
	if err != nil {
		return nil, err
	}
	if !n.IsDir() {
		return nil, format.Corruptf("inode %d is no directory", number)
	}
	d := &directory{e: e, inode: n, own: format.InodeSeed(e.Seed, number, n.Rec.Generation)}
	extents, err := e.Extents(n)
	if err != nil {
		return nil, err
	}
	count := n.Size / e.BlockSize
	for _, x := range extents {
		if x.Logical != int64(len(d.blocks))*e.BlockSize || x.Unwritten {
			return nil, format.Corruptf("directory inode %d has a hole", number)
		}
		for at := x.Physical; at < x.Physical+x.Length && int64(len(d.blocks)) < count; at += e.BlockSize {
			d.blocks = append(d.blocks, uint64(at/e.BlockSize))
		}
	}
	if int64(len(d.blocks)) != count || count == 0 {
		return nil, format.Corruptf("directory inode %d has %d of %d blocks", number, len(d.blocks), count)
	}
	return d, nil
}

func (d *directory) indexed() bool {
	return d.inode.Rec.Flags&format.InodeIndex != 0 && d.e.Super.Compat&super.DirIndex != 0
}

// read gives one of the directory's blocks, verified.
func (d *directory) read(logical uint32) ([]byte, error) {
	if int64(logical) >= int64(len(d.blocks)) {
		return nil, format.Corruptf("directory inode %d has no block %d", d.inode.Number, logical)
	}
	b, err := d.e.Block(d.blocks[logical])
	if err == nil && d.e.Csums() && !read.DirCsumOK(b, d.own, d.inode.Rec.Flags&format.InodeIndex != 0, logical == 0) {
		err = format.Corruptf("checksum of directory inode %d at block %d", d.inode.Number, logical)
	}
	return b, err
}

// edit gives one of the directory's blocks, which was read before, to be changed.
func (d *directory) edit(logical uint32) ([]byte, error) { return d.e.edit(d.blocks[logical]) }

// end is where the names of a block end.
func (d *directory) end() int {
	if d.e.Csums() {
		return int(d.e.BlockSize) - format.DirTail
	}
	return int(d.e.BlockSize)
}

// seal closes a block of names.
func (d *directory) seal(b []byte) {
	if d.e.Csums() {
		format.PutDirTail(b, d.own)
	}
}

// slot is an entry: where it is, and whose.
type slot struct {
	block    uint32
	at, size int
	inode    uint32
	name     string
	kind     uint8
}

// slots goes through a block of names, free ones included.
func (d *directory) slots(b []byte, visit func(s slot) bool) error {
	for at := 0; at < d.end(); {
		s := slot{at: at, inode: format.LE.Uint32(b[at:]), size: int(format.LE.Uint16(b[at+format.DirentRoom:])), kind: b[at+format.DirentKind]}
		n := int(b[at+format.DirentLength])
		if s.size < format.DirentHeader || s.size%4 != 0 || s.size > d.end()-at || format.DirentHeader+n > s.size {
			return format.Corruptf("entry of directory inode %d", d.inode.Number)
		}
		s.name = string(b[at+format.DirentHeader : at+format.DirentHeader+n])
		if !visit(s) {
			return nil
		}
		at += s.size
	}
	return nil
}

// Find looks a name up; fs.ErrNotExist when it is not there.
func (d *directory) find(name string) (slot, error) {
	if d.indexed() {
		leaf, more, err := d.leafOf(name)
		if err != nil {
			return slot{}, err
		}
		if s, ok, err := d.findIn(leaf, name); ok || err != nil || !more {
			return found(s, ok, err, name)
		}
	}
	for logical := range uint32(len(d.blocks)) {
		if logical == 0 && d.indexed() {
			continue
		}
		if s, ok, err := d.findIn(logical, name); ok || err != nil {
			return found(s, ok, err, name)
		}
	}
	return slot{}, &fs.PathError{Op: "lookup", Path: name, Err: fs.ErrNotExist}
}

func found(s slot, ok bool, err error, name string) (slot, error) {
	if err == nil && !ok {
		err = &fs.PathError{Op: "lookup", Path: name, Err: fs.ErrNotExist}
	}
	return s, err
}

func (d *directory) findIn(logical uint32, name string) (hit slot, ok bool, err error) {
	b, err := d.read(logical)
	if err != nil {
		return slot{}, false, err
	}
	if d.isNode(b) {
		return slot{}, false, nil
	}
	err = d.slots(b, func(s slot) bool {
		if s.inode != 0 && s.name == name {
			hit, ok = s, true
			hit.block = logical
		}
		return !ok
	})
	return hit, ok, err
}

// isNode says whether a block of an index has no names: it looks like a single free entry as long as the block.
func (d *directory) isNode(b []byte) bool {
	return d.indexed() && format.LE.Uint32(b) == 0 && int64(format.LE.Uint16(b[format.DirentRoom:])) == d.e.BlockSize
}

// set lets a name that is there stand for another inode.
func (d *directory) set(name string, number uint32, kind uint8) error {
	s, err := d.find(name)
	if err != nil {
		return err
	}
	b, err := d.edit(s.block)
	if err != nil {
		return err
	}
	format.LE.PutUint32(b[s.at:], number)
	b[s.at+format.DirentKind] = kind
	d.seal(b)
	return d.noteChange(0)
}

// noteChange notes a change in the directory's inode, and how many subdirectories it has more.
func (d *directory) noteChange(links int) error {
	b, err := d.e.inodeBytes(d.inode.Number)
	if err != nil {
		return err
	}
	n := int(b.Links())
	switch {
	case links == 0, n == 1: // more than can be counted
	case n+links < format.MaxLinks:
		n += links
	case d.e.Super.ROCompat&super.DirNlink != 0:
		n = 1
	default:
		return format.Corruptf("directory inode %d has %d subdirectories", d.inode.Number, n)
	}
	b.SetLinks(uint16(n))
	d.e.touch(b, true)
	d.e.sealInode(b, d.inode.Number)
	return nil
}

// insert adds a name that is not there.
func (d *directory) insert(name string, number uint32, kind uint8) error {
	links := 0
	if kind == format.DirentTypes[ext4.ModeDir>>12] {
		links = 1
	}
	if d.indexed() {
		if err := d.insertIndexed(name, number, kind); err != nil {
			return err
		}
		return d.noteChange(links)
	}
	for logical := range uint32(len(d.blocks)) {
		b, err := d.read(logical)
		if err != nil {
			return err
		}
		if ok, err := d.add(b, name, number, kind); err != nil {
			return err
		} else if !ok {
			continue
		}
		if b, err = d.edit(logical); err != nil {
			return err
		}
		if _, err := d.add(b, name, number, kind); err != nil {
			return err
		}
		d.seal(b)
		return d.noteChange(links)
	}
	if len(d.blocks) == 1 && d.e.Super.Compat&super.DirIndex != 0 {
		if err := d.makeIndex(name, number, kind); err != nil {
			return err
		}
		return d.noteChange(links)
	}
	_, b, err := d.grow()
	if err != nil {
		return err
	}
	format.PutDirent(b, number, d.end(), name, kind)
	d.seal(b)
	return d.noteChange(links)
}

// add puts an entry into a block of names; ok is false when it is full.
func (d *directory) add(b []byte, name string, number uint32, kind uint8) (ok bool, err error) {
	need := format.DirentSize(name)
	err = d.slots(b, func(s slot) bool {
		used := 0
		if s.inode != 0 {
			used = format.DirentSize(s.name)
		}
		if s.size-used < need {
			return true
		}
		if used > 0 {
			format.LE.PutUint16(b[s.at+format.DirentRoom:], uint16(used))
		}
		rest := b[s.at+used:][:s.size-used]
		clear(rest)
		format.PutDirent(rest, number, len(rest), name, kind)
		ok = true
		return false
	})
	return ok, err
}

// grow adds a block at the directory's end.
func (d *directory) grow() (logical uint32, b []byte, err error) {
	e := d.e
	if d.inode.Size+e.BlockSize > format.MaxDirSize {
		return 0, nil, errFull("room in the directory")
	}
	last := d.blocks[len(d.blocks)-1]
	at, err := e.takeBlock(last + 1)
	if err != nil {
		return 0, nil, err
	}
	b = e.fresh(at)
	old, err := e.treeNodes(d.inode)
	if err != nil {
		return 0, nil, err
	}
	d.blocks = append(d.blocks, at)
	var list []format.Extent
	for i, n := range d.blocks {
		list = format.AppendBlocks(list, uint32(i), n, 1)
	}
	root, nodes, err := e.putTree(list, d.own, at+1)
	if err != nil {
		return 0, nil, err
	}
	for _, n := range old {
		if err := e.release(format.Run{Start: n, Count: 1}); err != nil {
			return 0, nil, err
		}
	}
	in, err := e.inodeBytes(d.inode.Number)
	if err != nil {
		return 0, nil, err
	}
	d.inode.Size += e.BlockSize
	in.SetSize(uint64(d.inode.Size))
	copy(in.Block(), root[:])
	extra := uint64(0)
	if in.XattrBlock() != 0 {
		extra = 1
	}
	in.AddFlags(format.InodeExtents)
	if err := e.setSectors(in, (uint64(len(d.blocks))+nodes+extra)*uint64(e.BlockSize)); err != nil {
		return 0, nil, err
	}
	e.sealInode(in, d.inode.Number)
	if d.inode, err = e.Inode(d.inode.Number); err != nil {
		return 0, nil, err
	}
	return uint32(len(d.blocks) - 1), b, nil
}
