package ext4

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"

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
func (e *Editor) WriteFile(dir Inode, name string, attr Attr, r io.Reader) (size int64, err error) {
	d, old, err := e.place(dir, name)
	if err != nil {
		return 0, err
	}
	near := uint64(dir.Number-1) / uint64(e.super.InodesPerGroup)
	if e.goal == 0 {
		e.goal = uint64(e.super.FirstDataBlock) + near*uint64(e.super.BlocksPerGroup) + 1
	}
	w := contentWriter{e: e}
	if err := w.copy(r); err != nil {
		return 0, err
	}
	number, err := e.newInode(near, false)
	if err != nil {
		return 0, err
	}
	rec := e.newRecord(ModeRegular, attr)
	rec.size, rec.flags = uint64(w.size), inodeExtents
	root, nodes, err := e.putTree(w.extents, inodeSeed(e.seed, number, rec.generation), e.goal)
	if err != nil {
		return 0, err
	}
	rec.block = root
	if w.size >= 1<<31 {
		e.super.ROCompat |= super.LargeFile
	}
	if err := e.putNew(number, &rec); err != nil {
		return 0, err
	}
	if err := e.charge(number, (w.blocks+nodes)*uint64(e.blockSize)); err != nil {
		return 0, err
	}
	return w.size, e.enter(d, name, number, ModeRegular, old)
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
func (e *Editor) Symlink(dir Inode, name, target string, attr Attr) error {
	d, old, err := e.place(dir, name)
	if err != nil {
		return err
	}
	if target == "" || int64(len(target)) >= e.blockSize {
		return fmt.Errorf("%w: symlink with a target of %d bytes", ErrInvalid, len(target))
	}
	number, err := e.newInode(uint64(dir.Number-1)/uint64(e.super.InodesPerGroup), false)
	if err != nil {
		return err
	}
	attr.Mode = 0o777
	rec := e.newRecord(ModeSymlink, attr)
	rec.size = uint64(len(target))
	taken := uint64(0)
	if len(target) < len(rec.block) {
		copy(rec.block[:], target)
	} else {
		at, err := e.block1(e.goal)
		if err != nil {
			return err
		}
		copy(e.fresh(at), target)
		rec.flags, taken = inodeExtents, uint64(e.blockSize)
		if rec.block, _, err = e.putTree(appendBlocks(nil, 0, at, 1), 0, 0); err != nil {
			return err
		}
	}
	if err := e.putNew(number, &rec); err != nil {
		return err
	}
	if err := e.charge(number, taken); err != nil {
		return err
	}
	return e.enter(d, name, number, ModeSymlink, old)
}

// place opens a directory for a name, and gives the file that has it.
func (e *Editor) place(dir Inode, name string) (*directory, *Inode, error) {
	if len(name) > maxName {
		return nil, nil, pathError(fmt.Sprintf("a name has %d bytes at most, and it has %d", maxName, len(name)))
	}
	if name == "" || name == "." || name == ".." || bytes.ContainsAny([]byte(name), "/\x00") {
		return nil, nil, fmt.Errorf("%w: the name %.300q", ErrInvalid, name)
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
		return nil, nil, fmt.Errorf("%w: %q is there and no regular file", ErrInvalid, name)
	}
	return d, &old, nil
}

// enter gives an inode its name, and takes it from the one that had it.
func (e *Editor) enter(d *directory, name string, number uint32, kind uint32, old *Inode) error {
	if old == nil {
		return d.insert(name, number, direntTypes[kind>>12])
	}
	if err := d.set(name, number, direntTypes[kind>>12]); err != nil {
		return err
	}
	return e.unlink(*old)
}
