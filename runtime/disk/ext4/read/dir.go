package read

import (
	"fmt"
	"io/fs"
	"iter"
	"strings"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/format"
	"microagent/runtime/disk/ext4/super"
)

// maxEntries is how many names ReadDir takes into memory.
const maxEntries = 8 << 20

// DirEntry is a name in a directory. "." and ".." are never among them.
type DirEntry struct {
	Name  string
	Inode uint32
	// Type is the file type of the inode's mode (ModeDir, ...), 0 where the file system keeps none here.
	Type uint32
}

// Entries goes through a directory in the order of its blocks. It ends after the first error.
func (f *FS) Entries(dir Inode) iter.Seq2[DirEntry, error] {
	return func(yield func(DirEntry, error) bool) {
		if err := f.entries(dir, func(e DirEntry) bool { return yield(e, nil) }); err != nil {
			yield(DirEntry{}, err)
		}
	}
}

// ReadDir gives all names of a directory.
func (f *FS) ReadDir(dir Inode) ([]DirEntry, error) {
	var list []DirEntry
	for e, err := range f.Entries(dir) {
		if err != nil {
			return list, err
		}
		if len(list) == maxEntries {
			return list, format.Unsupportedf("directory inode %d has more than %d names", dir.Number, maxEntries)
		}
		list = append(list, e)
	}
	return list, nil
}

func (f *FS) entries(dir Inode, visit func(DirEntry) bool) error {
	if !dir.IsDir() {
		return fmt.Errorf("%w: inode %d is not a directory", ext4.ErrInvalid, dir.Number)
	}
	file, err := f.File(dir)
	if err != nil {
		return err
	}
	own := format.InodeSeed(f.Seed, dir.Number, dir.Rec.Generation)
	b := make([]byte, f.BlockSize)
	for _, e := range file.extents {
		for at := e.Logical; at < min(e.Logical+e.Length, dir.Size); at += f.BlockSize {
			if err := format.ReadFull(file, b, at); err != nil {
				return err
			}
			if f.Csums() && !DirCsumOK(b, own, dir.Rec.Flags&format.InodeIndex != 0, at == 0) {
				return format.Corruptf("checksum of directory inode %d at byte %d", dir.Number, at)
			}
			more, err := f.BlockEntries(dir.Number, b, visit)
			if err != nil || !more {
				return err
			}
		}
	}
	return nil
}

// BlockEntries goes through one block of a directory. Nodes of an index look like blocks without names.
func (f *FS) BlockEntries(dir uint32, b []byte, visit func(DirEntry) bool) (more bool, err error) {
	for at := 0; at < len(b); {
		rest := b[at:]
		if len(rest) < format.DirentHeader {
			return false, format.Corruptf("entry of directory inode %d", dir)
		}
		size := int(format.LE.Uint16(rest[format.DirentRoom:]))
		if len(b) > 1<<15 && (size == 0 || size == 1<<16-1) {
			size = 1 << 16 // 64 KiB blocks
		}
		length, kind := int(rest[format.DirentLength]), rest[format.DirentKind]
		if f.Super.Incompat&super.Filetype == 0 {
			length, kind = int(format.LE.Uint16(rest[format.DirentLength:])), 0
		}
		if size < format.DirentHeader || size%4 != 0 || size > len(rest) || format.DirentHeader+length > size {
			return false, format.Corruptf("entry of directory inode %d", dir)
		}
		ino := format.LE.Uint32(rest)
		name := string(rest[format.DirentHeader : format.DirentHeader+length])
		at += size
		if ino == 0 || name == "." || name == ".." {
			continue
		}
		if name == "" || length > format.MaxName || strings.ContainsAny(name, "/\x00") {
			return false, format.Corruptf("name %q in directory inode %d", name, dir)
		}
		e := DirEntry{Name: name, Inode: ino}
		for mode, t := range format.DirentTypes {
			if t != 0 && t == kind {
				e.Type = uint32(mode) << 12
			}
		}
		if !visit(e) {
			return false, nil
		}
	}
	return true, nil
}

// DirCsumOK verifies a block of names by its tail, or a node of an index by its own.
func DirCsumOK(b []byte, own uint32, indexed, first bool) bool {
	if format.DirTailOK(b, own) {
		return true
	}
	// A block of names that the kernel made a root keeps a part of its tail.
	at := format.IndexNode
	if first {
		at = format.IndexRoot - format.IndexInfoSize + int(b[format.IndexInfo])
	}
	if !indexed || at+4 > len(b) {
		return false
	}
	limit, count := int(format.LE.Uint16(b[at:])), int(format.LE.Uint16(b[at+format.IndexCount:]))
	if count > limit || at+format.IndexPair*limit+format.IndexTail > len(b) {
		return false
	}
	tail := b[at+format.IndexPair*limit:]
	c := format.CRC(format.CRC(own, b[:at+format.IndexPair*count]), tail[:4])
	return format.LE.Uint32(tail[4:]) == format.CRC(c, make([]byte, 4))
}

// Lookup finds a name in a directory; fs.ErrNotExist when it is not there.
func (f *FS) Lookup(dir Inode, name string) (Inode, error) {
	for e, err := range f.Entries(dir) {
		if err != nil {
			return Inode{}, err
		}
		if e.Name == name {
			return f.Inode(e.Inode)
		}
	}
	return Inode{}, &fs.PathError{Op: "lookup", Path: name, Err: fs.ErrNotExist}
}

// Resolve walks a slash-separated path from the root. Symlinks on the way are followed inside the file system,
// and the last one too with follow; ".." never leaves the root. fs.ErrNotExist when it is not there.
func (f *FS) Resolve(path string, follow bool) (Inode, error) {
	root, err := f.Root()
	if err != nil {
		return Inode{}, err
	}
	above := []Inode{root} // the directories from the root to where the walk is
	at := root
	parts := format.SplitPath(path)
	for links := 0; len(parts) > 0; {
		name := parts[0]
		parts = parts[1:]
		if !at.IsDir() {
			return Inode{}, &fs.PathError{Op: "resolve", Path: path, Err: fmt.Errorf("%w: a parent is not a directory", ext4.ErrInvalid)}
		}
		if name == ".." {
			if len(above) > 1 {
				above = above[:len(above)-1]
			}
			at = above[len(above)-1]
			continue
		}
		child, err := f.Lookup(at, name)
		if err != nil {
			return Inode{}, err
		}
		if child.IsSymlink() && (len(parts) > 0 || follow) {
			if links++; links > format.MaxSymlinks {
				return Inode{}, &fs.PathError{Op: "resolve", Path: path, Err: format.ErrLoop}
			}
			target, err := f.Readlink(child)
			if err != nil {
				return Inode{}, err
			}
			if strings.HasPrefix(target, "/") {
				above, at = above[:1], root
			}
			parts = append(format.SplitPath(target), parts...)
			continue
		}
		if at = child; at.IsDir() {
			above = append(above, at)
		}
	}
	return at, nil
}
