package read

import (
	"io"
	"sort"

	"microagent/runtime/disk/ext4/format"
)

// File is the content of a file.
type File struct {
	fs      *FS
	size    int64
	extents []Extent
}

var _ io.ReaderAt = (*File)(nil)

// File opens the content of a regular file, directory or long symlink.
func (f *FS) File(n Inode) (*File, error) {
	extents, err := f.Extents(n)
	if err != nil {
		return nil, err
	}
	return &File{fs: f, size: n.Size, extents: extents}, nil
}

// Size is the file's size in bytes.
func (f *File) Size() int64 { return f.size }

// Extents are the parts that have blocks, as FS.Extents gives them.
func (f *File) Extents() []Extent { return f.extents }

// ReadAt reads holes and unwritten parts as zeros.
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, format.Corruptf("read at byte %d", off)
	}
	if off >= f.size {
		return 0, io.EOF
	}
	var end error
	if left := f.size - off; int64(len(p)) >= left {
		p, end = p[:left], io.EOF
	}
	total := len(p)
	i := sort.Search(len(f.extents), func(i int) bool { return f.extents[i].Logical+f.extents[i].Length > off })
	for len(p) > 0 {
		n := int64(len(p))
		switch {
		case i == len(f.extents):
			clear(p)
		case f.extents[i].Logical > off:
			n = min(n, f.extents[i].Logical-off)
			clear(p[:n])
		default:
			e := &f.extents[i]
			n = min(n, e.Logical+e.Length-off)
			if e.Unwritten {
				clear(p[:n])
			} else if err := format.ReadFull(f.fs.R, p[:n], e.Physical+off-e.Logical); err != nil {
				return total - len(p), err
			}
			i++
		}
		p, off = p[n:], off+n
	}
	return total, end
}
