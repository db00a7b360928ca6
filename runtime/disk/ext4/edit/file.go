package edit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/format"
	"microagent/runtime/disk/ext4/read"
	"microagent/runtime/disk/ext4/super"
)

// holes is what a source of content has that knows where it is empty. Skip gives how many bytes from here on are a
// hole, and passes over them.
type holes interface {
	Skip() (int64, error)
}

// WriteFile makes a regular file of all that r gives, in the place of a regular file or symlink that has the name. What
// r says to be a hole becomes one; of an r that can't say, blocks of zeros do. The former file goes with its
// extended attributes, unless it has more names.
func (e *Editor) WriteFile(dir read.Inode, name string, attr ext4.Attr, r io.Reader) (size int64, err error) {
	d, old, err := e.place(dir, name)
	if err != nil {
		return 0, err
	}
	near := uint64(dir.Number-1) / uint64(e.Super.InodesPerGroup)
	if e.goal == 0 {
		e.goal = uint64(e.Super.FirstDataBlock) + near*uint64(e.Super.BlocksPerGroup) + 1
	}
	w := contentWriter{e: e}
	if err := w.copy(r); err != nil {
		return 0, err
	}
	number, err := e.newInode(near, false)
	if err != nil {
		return 0, err
	}
	rec := e.newRecord(ext4.ModeRegular, attr)
	rec.Size, rec.Flags = uint64(w.size), format.InodeExtents
	root, nodes, err := e.putTree(w.extents, format.InodeSeed(e.Seed, number, rec.Generation), e.goal)
	if err != nil {
		return 0, err
	}
	rec.Block = root
	if w.size >= 1<<31 {
		e.Super.ROCompat |= super.LargeFile
	}
	if err := e.putNew(number, &rec); err != nil {
		return 0, err
	}
	if err := e.charge(number, (w.blocks+nodes)*uint64(e.BlockSize)); err != nil {
		return 0, err
	}
	return w.size, e.enter(d, name, number, ext4.ModeRegular, old)
}

// charge writes how much an inode takes.
func (e *Editor) charge(number uint32, bytes uint64) error {
	b, err := e.inodeBytes(number)
	if err != nil {
		return err
	}
	err = e.setSectors(b, bytes)
	e.sealInode(b, number)
	return err
}

// Symlink makes a symlink in the place of a regular file or symlink that has the name.
func (e *Editor) Symlink(dir read.Inode, name, target string, attr ext4.Attr) error {
	d, old, err := e.place(dir, name)
	if err != nil {
		return err
	}
	if target == "" || int64(len(target)) >= e.BlockSize {
		return fmt.Errorf("%w: symlink with a target of %d bytes", ext4.ErrInvalid, len(target))
	}
	number, err := e.newInode(uint64(dir.Number-1)/uint64(e.Super.InodesPerGroup), false)
	if err != nil {
		return err
	}
	attr.Mode = 0o777
	rec := e.newRecord(ext4.ModeSymlink, attr)
	rec.Size = uint64(len(target))
	taken := uint64(0)
	if len(target) < len(rec.Block) {
		copy(rec.Block[:], target)
	} else {
		at, err := e.takeBlock(e.goal)
		if err != nil {
			return err
		}
		copy(e.fresh(at), target)
		rec.Flags, taken = format.InodeExtents, uint64(e.BlockSize)
		if rec.Block, _, err = e.putTree(format.AppendBlocks(nil, 0, at, 1), 0, 0); err != nil {
			return err
		}
	}
	if err := e.putNew(number, &rec); err != nil {
		return err
	}
	if err := e.charge(number, taken); err != nil {
		return err
	}
	return e.enter(d, name, number, ext4.ModeSymlink, old)
}

// place opens a directory for a name, and gives the file that has it.
func (e *Editor) place(dir read.Inode, name string) (*directory, *read.Inode, error) {
	if len(name) > format.MaxName {
		return nil, nil, format.PathError(fmt.Sprintf("a name has %d bytes at most, and it has %d", format.MaxName, len(name)))
	}
	if name == "" || name == "." || name == ".." || bytes.ContainsAny([]byte(name), "/\x00") {
		return nil, nil, fmt.Errorf("%w: the name %.300q", ext4.ErrInvalid, name)
	}
	d, err := e.directory(dir.Number)
	if err != nil {
		return nil, nil, err
	}
	slot, err := d.find(name)
	if errors.Is(err, fs.ErrNotExist) {
		return d, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	old, err := e.Inode(slot.inode)
	if err != nil {
		return nil, nil, err
	}
	if !old.IsRegular() && !old.IsSymlink() {
		return nil, nil, fmt.Errorf("%w: %q is there and no regular file", ext4.ErrInvalid, name)
	}
	return d, &old, nil
}

// enter gives an inode its name, and takes it from the one that had it.
func (e *Editor) enter(d *directory, name string, number uint32, kind uint32, old *read.Inode) error {
	if old == nil {
		return d.insert(name, number, format.DirentTypes[kind>>12])
	}
	if err := d.set(name, number, format.DirentTypes[kind>>12]); err != nil {
		return err
	}
	return e.unlink(*old)
}
