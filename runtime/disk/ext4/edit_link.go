package ext4

import "errors"

// maxFileLinks is how many names a file has at most: EXT4_LINK_MAX of fs/ext4/ext4.h.
const maxFileLinks = 65000

// ErrManyLinks says that a file has as many names as ext4 gives one.
var ErrManyLinks = errors.New("the file has as many names as it can have")

// Link gives a regular file another name, in the place of a regular file or symlink that has it.
func (e *Editor) Link(dir Inode, name string, file uint32) error {
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
		return corruptf("inode %d is to be linked to and is no regular file", file)
	case old != nil && old.Number == file:
		return nil
	case n.Links >= maxFileLinks:
		return ErrManyLinks
	}
	b, err := e.inodeBytes(file)
	if err != nil {
		return err
	}
	le.PutUint16(b[0x1A:], uint16(n.Links+1))
	e.touch(b, false)
	e.sealInode(b, file)
	return e.enter(d, name, file, ModeRegular, old)
}
