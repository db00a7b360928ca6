package edit

import (
	"errors"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/format"
	"microagent/runtime/disk/ext4/read"
)

// ErrManyLinks says that a file has as many names as ext4 gives one.
var ErrManyLinks = errors.New("the file has as many names as it can have")

// Link gives a regular file another name, in the place of a regular file or symlink that has it.
func (e *Editor) Link(dir read.Inode, name string, file uint32) error {
	d, old, err := e.place(dir, name)
	if err != nil {
		return err
	}
	n, err := e.Inode(file)
	if err != nil {
		return err
	}
	switch {
	case !n.IsRegular():
		return format.Corruptf("inode %d is to be linked to and is no regular file", file)
	case old != nil && old.Number == file:
		return nil
	case n.Links >= format.MaxLinks:
		return ErrManyLinks
	}
	b, err := e.inodeBytes(file)
	if err != nil {
		return err
	}
	b.SetLinks(uint16(n.Links + 1))
	e.touch(b, false)
	e.sealInode(b, file)
	return e.enter(d, name, file, ext4.ModeRegular, old)
}
