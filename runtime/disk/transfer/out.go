package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"sort"
	"strings"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/read"
	"microagent/runtime/driver"
	"microagent/runtime/guesttree"
	"microagent/runtime/lease"
)

const opOut = "copy from"

// CopyOut copies a file or a tree of the disk to the host.
func (Offline) CopyOut(ctx context.Context, spec driver.CopySpec) (out driver.Copied, err error) {
	defer func() { err = leaveToTheGuest(err, spec.Guest.Workspace) }()
	d, err := open(opOut, spec.Guest, lease.Shared)
	if err != nil {
		return out, err
	}
	defer d.Close()
	object := spec.Guest.Disk + ":" + spec.Guest.Path
	f, err := read.OpenReplayed(d.File(), d.size)
	if err != nil {
		return out, wrap(opOut, spec.Guest.Disk, err)
	}
	n, real, err := find(f, opOut, object, spec.Guest)
	if err != nil {
		return out, err
	}
	if err := Copyable(opOut, object, mode(n), spec); err != nil {
		return out, err
	}
	if spec.Host.Path == "" {
		r, err := contentOf(f, n)
		if err != nil {
			return out, wrap(opOut, object, err)
		}
		out.Files, out.To = 1, "-"
		out.Bytes, err = io.CopyBuffer(writer{ctx, spec.Host.Writer}, struct{ io.Reader }{r}, make([]byte, piece))
		return out, wrap(opOut, object, err)
	}
	s, err := NewSink(spec.Host.Path, NameOf(spec.Guest), n.IsDir(), &out)
	if err != nil {
		return out, err
	}
	defer s.Close()
	t := tree{ctx: ctx, fs: f, sink: s, real: real, end: spec.Guest, left: f.Info().Size, links: map[uint32]string{}, seen: map[uint32]bool{}}
	if err := t.add(".", n, 0); err != nil {
		return out, wrap(opOut, object, err)
	}
	return out, s.Finish()
}

// Copyable says whether a file of the guest can be copied as the spec has it.
func Copyable(op, object string, m fs.FileMode, spec driver.CopySpec) error {
	switch {
	case m.IsDir() && spec.Host.Path == "":
		return problem(driver.ErrInvalid, op, object, "name a directory of the host, and use -r", "it is a directory; only a file can be a stream")
	case m.IsDir() && !spec.Recursive:
		return problem(driver.ErrInvalid, op, object, "use -r to copy a directory", "it is a directory")
	case m.IsDir():
		return nil
	case !m.IsRegular():
		return problem(driver.ErrInvalid, op, object, "", "it is %s; only regular files and directories are copied", guesttree.KindOf(m))
	case strings.HasSuffix(spec.Guest.Path, "/"):
		return problem(driver.ErrInvalid, op, object, "leave the slash at its end away", "it is no directory")
	}
	return nil
}

// Base is the name under which a path is copied into a directory: "." for the root and for what ends in "/.", whose
// content is copied without it.
func Base(p string) string {
	if strings.HasSuffix(p, "/.") || path.Clean(p) == "/" {
		return "."
	}
	return path.Base(path.Clean(p))
}

// NameOf is the name under which the guest's end comes into a directory of the host.
func NameOf(end driver.GuestEnd) string {
	if end.As != "" {
		return end.As
	}
	return Base(end.Path)
}

// find resolves the guest's path on the disk.
func find(f *read.FS, op, object string, end driver.GuestEnd) (read.Inode, string, error) {
	n, real, err := f.ResolvePath(end.Path, true)
	if err := covered(op, object, end, real); err != nil {
		return n, real, err
	}
	if errors.Is(err, fs.ErrNotExist) {
		return n, real, problem(driver.ErrNotFound, op, object, "", "there is no such file on the disk")
	}
	return n, real, wrap(op, object, err)
}

// covered refuses a path that a symlink led to where the guest has another disk.
func covered(op, object string, end driver.GuestEnd, real string) error {
	for _, c := range end.Covered {
		if real == c || strings.HasPrefix(real, c+"/") {
			return problem(driver.ErrInvalid, op, object, "name that one instead: "+end.Workspace+":"+path.Join("/", end.Mount, real),
				"it leads to %s, where the guest mounts another disk", real)
		}
	}
	return nil
}

// writer ends with its context.
type writer struct {
	ctx context.Context
	w   io.Writer
}

func (w writer) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.w.Write(p)
}

const maxDepth = 1024

// tree walks a directory of the disk.
type tree struct {
	ctx   context.Context
	fs    *read.FS
	sink  *Sink
	real  string // path on the disk
	end   driver.GuestEnd
	left  int64             // bytes: no files have more than their disk
	links map[uint32]string // inodes with several names
	seen  map[uint32]bool   // directories
}

func (t *tree) add(name string, n read.Inode, depth int) error {
	e := Entry{Name: name, Mode: mode(n), Time: n.Mtime, Size: n.Size}
	switch {
	case n.IsDir():
		return t.directory(e, n, depth)
	case n.IsSymlink():
		target, err := t.fs.Readlink(n)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		e.Target = target
	case n.IsRegular():
		if n.Links > 1 {
			if e.Link = t.links[n.Number]; e.Link == "" {
				t.links[n.Number] = name
			}
		}
		if e.Link != "" {
			break
		}
		r, err := contentOf(t.fs, n)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if t.left -= r.data(); t.left < 0 {
			return fmt.Errorf("%s: %w: files share blocks", name, ext4.ErrCorrupt)
		}
		return t.sink.Add(t.ctx, e, r)
	}
	return t.sink.Add(t.ctx, e, nil)
}

func (t *tree) directory(e Entry, n read.Inode, depth int) error {
	if t.seen[n.Number] || depth > maxDepth {
		return fmt.Errorf("%s: %w: directories in a circle, or more than %d deep", e.Name, ext4.ErrCorrupt, maxDepth)
	}
	t.seen[n.Number] = true
	if err := t.sink.Add(t.ctx, e, nil); err != nil {
		return err
	}
	if slices.Contains(t.end.Covered, path.Join(t.real, e.Name)) {
		t.sink.out.Leave(e.Name, "the guest mounts another disk there")
		return nil
	}
	for d, err := range t.fs.Entries(n) {
		if err != nil {
			return fmt.Errorf("%s: %w", e.Name, err)
		}
		child, err := t.fs.Inode(d.Inode)
		if err != nil {
			return fmt.Errorf("%s: %w", path.Join(e.Name, d.Name), err)
		}
		if err := t.add(path.Join(e.Name, d.Name), child, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// mode is an inode's mode in Go's form.
func mode(n read.Inode) fs.FileMode {
	m := fs.FileMode(n.Mode & 0o777)
	for _, bit := range []struct {
		mask, value uint32
		mode        fs.FileMode
	}{
		{0o4000, 0o4000, fs.ModeSetuid}, {0o2000, 0o2000, fs.ModeSetgid}, {0o1000, 0o1000, fs.ModeSticky},
		{ext4.ModeType, ext4.ModeDir, fs.ModeDir}, {ext4.ModeType, ext4.ModeSymlink, fs.ModeSymlink},
		{ext4.ModeType, ext4.ModeBlock, fs.ModeDevice}, {ext4.ModeType, ext4.ModeChar, fs.ModeDevice | fs.ModeCharDevice},
		{ext4.ModeType, ext4.ModeFIFO, fs.ModeNamedPipe}, {ext4.ModeType, ext4.ModeSocket, fs.ModeSocket},
	} {
		if n.Mode&bit.mask == bit.value {
			m |= bit.mode
		}
	}
	return m
}

// content reads a file of the disk, holes apart.
type content struct {
	file *read.File
	at   int64
}

func contentOf(f *read.FS, n read.Inode) (*content, error) {
	file, err := f.File(n)
	return &content{file: file}, err
}

// data is how many bytes are not in holes.
func (c *content) data() (n int64) {
	for _, e := range c.file.Extents() {
		if !e.Unwritten {
			n += min(e.Length, max(c.file.Size()-e.Logical, 0))
		}
	}
	return n
}

// ahead is the first part with data that ends behind c.at.
func (c *content) ahead() (e read.Extent, ok bool) {
	list := c.file.Extents()
	i := sort.Search(len(list), func(i int) bool { return list[i].Logical+list[i].Length > c.at })
	for ; i < len(list); i++ {
		if !list[i].Unwritten {
			return list[i], list[i].Logical < c.file.Size()
		}
	}
	return e, false
}

// Skip passes over a hole.
func (c *content) Skip() (int64, error) {
	to := c.file.Size()
	if e, ok := c.ahead(); ok {
		to = e.Logical
	}
	n := max(to-c.at, 0)
	c.at += n
	return n, nil
}

func (c *content) Read(p []byte) (int, error) {
	if e, ok := c.ahead(); ok && e.Logical <= c.at {
		p = p[:min(int64(len(p)), e.Logical+e.Length-c.at)]
	}
	n, err := c.file.ReadAt(p, c.at)
	c.at += int64(n)
	return n, err
}
