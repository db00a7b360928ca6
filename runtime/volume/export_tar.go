package volume

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"path"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/read"
	"microagent/runtime/disk/sparse"
	"microagent/runtime/driver"
	"microagent/runtime/tartree"
)

// maxDepth is how many folders may lie in each other.
const maxDepth = 1024

// tarWalk writes the tree of a file system as a tar.
type tarWalk struct {
	ctx   context.Context
	fs    *read.FS
	w     *tar.Writer
	out   io.Writer // of w, where files go without their holes; nil for a stream that any tool reads
	left  driver.LeftOut
	links map[uint32]string // files with several names, by inode
	seen  map[uint32]bool   // folders
	data  int64             // bytes that files may still have: none has more than the disk
}

// writeTar writes the files with owner, mode, times, links and extended attributes. What is neither file, folder nor link is
// left out. withoutHoles is for tartree, and not for any other reader.
func writeTar(ctx context.Context, f *read.FS, w io.Writer, withoutHoles bool) (driver.LeftOut, error) {
	t := tarWalk{ctx: ctx, fs: f, w: tar.NewWriter(w), links: map[uint32]string{}, seen: map[uint32]bool{}, data: f.Info().Size}
	if withoutHoles {
		t.out = w
	}
	root, err := f.Root()
	if err != nil {
		return t.left, err
	}
	if err := t.add(".", root, 0); err != nil {
		return t.left, err
	}
	return t.left, t.w.Close()
}

func (t *tarWalk) add(name string, n read.Inode, depth int) error {
	if err := t.ctx.Err(); err != nil {
		return err
	}
	h := &tar.Header{
		Name: name, Mode: int64(n.Mode & 0o7777), Uid: int(n.UID), Gid: int(n.GID), ModTime: n.Mtime, Format: tar.FormatPAX,
	}
	switch {
	case n.IsDir():
		return t.directory(h, n, depth)
	case n.IsSymlink():
		target, err := t.fs.Readlink(n)
		if err != nil {
			return err
		}
		h.Typeflag, h.Linkname = tar.TypeSymlink, target
	case !n.IsRegular():
		t.left.Leave(name, "it is no file, folder or link")
		return nil
	case n.Links > 1 && t.links[n.Number] != "":
		h.Typeflag, h.Linkname = tar.TypeLink, t.links[n.Number]
		return t.w.WriteHeader(h)
	default:
		if n.Links > 1 {
			t.links[n.Number] = name
		}
		h.Typeflag, h.Size = tar.TypeReg, n.Size
	}
	if h.Typeflag != tar.TypeReg {
		return t.begin(h, n)
	}
	file, err := t.fs.File(n)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	for _, e := range file.Extents() {
		t.data -= e.Length
	}
	if t.data < 0 {
		return fmt.Errorf("%s: %w: files share blocks", name, ext4.ErrCorrupt)
	}
	if runs := runsOf(file); t.out != nil && len(runs) <= tartree.MaxRuns && !sparse.Whole(runs, n.Size) {
		if err := t.attributes(h, n); err != nil {
			return err
		}
		return tartree.WriteSparse(t.w, t.out, h, runs, file)
	}
	if err := t.begin(h, n); err != nil {
		return err
	}
	_, err = io.CopyBuffer(t.w, struct{ io.Reader }{io.NewSectionReader(file, 0, n.Size)}, make([]byte, 256<<10))
	return err
}

// runsOf is where a file has data.
func runsOf(f *read.File) (runs []sparse.Run) {
	for _, e := range f.Extents() {
		length := min(e.Length, f.Size()-e.Logical)
		switch last := len(runs) - 1; {
		case length <= 0 || e.Unwritten:
		case last >= 0 && runs[last].Offset+runs[last].Length == e.Logical:
			runs[last].Length += length
		default:
			runs = append(runs, sparse.Run{Offset: e.Logical, Length: length})
		}
	}
	return runs
}

// begin writes a header with the attributes of n.
func (t *tarWalk) begin(h *tar.Header, n read.Inode) error {
	if err := t.attributes(h, n); err != nil {
		return err
	}
	return t.w.WriteHeader(h)
}

// attributes adds the extended attributes of n to its header.
func (t *tarWalk) attributes(h *tar.Header, n read.Inode) error {
	attrs, err := t.fs.Xattrs(n)
	if err != nil {
		return fmt.Errorf("%s: %w", h.Name, err)
	}
	for name, value := range attrs {
		if h.PAXRecords == nil {
			h.PAXRecords = map[string]string{}
		}
		h.PAXRecords["SCHILY.xattr."+name] = string(value)
	}
	return nil
}

func (t *tarWalk) directory(h *tar.Header, n read.Inode, depth int) error {
	if t.seen[n.Number] || depth > maxDepth {
		return fmt.Errorf("%s: %w: folders in a circle, or more than %d deep", h.Name, ext4.ErrCorrupt, maxDepth)
	}
	t.seen[n.Number] = true
	h.Typeflag, h.Name = tar.TypeDir, h.Name+"/"
	if err := t.begin(h, n); err != nil {
		return err
	}
	for e, err := range t.fs.Entries(n) {
		if err != nil {
			return err
		}
		if depth == 0 && e.Name == "lost+found" {
			continue
		}
		child, err := t.fs.Inode(e.Inode)
		if err == nil {
			err = t.add(path.Join(h.Name, e.Name), child, depth+1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
