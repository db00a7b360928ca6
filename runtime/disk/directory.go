package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/layer"
	"microagent/runtime/disk/sparse"
	"microagent/runtime/driver"
)

// readNames lists a directory in byte order.
func (s *source) readNames(rel string) (names []driver.Name, err error) {
	defer func() {
		slices.SortFunc(names, func(a, b driver.Name) int { return strings.Compare(a.Name, b.Name) })
	}()
	if quick, ok := s.tree.(driver.QuickTree); ok {
		return quick.List(path.Clean(rel))
	}
	f, err := s.tree.Open(path.Clean(rel))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	list, err := f.Readdirnames(-1)
	for _, name := range list {
		names = append(names, driver.Name{Name: name, Type: fs.ModeIrregular})
	}
	return names, err
}

// readDirectory puts the normalised directory into tree: modes 0644 and 0755, owner 0, one time for all. What
// is hashed is, for each element: kind, executable or not, lengths, path, and content or target.
func (s *source) readDirectory(ctx context.Context, tree layer.Tree, h *hasher, marks *marks, p driver.Progress) (layer.Totals, error) {
	var totals layer.Totals
	reported := int64(0)
	var line []byte
	small := newWhole()
	err := s.readAhead(ctx, func(c *content) error {
		marks.add(c.rel, c.info)
		totals.Entries++
		attr := ext4.Attr{Mode: 0o755, Mtime: Epoch}
		switch c.info.Mode().Type() {
		case fs.ModeDir:
			line = appendLine(line[:0], "d", c.rel, int64(len(c.rel)))
			h.bytes(line)
			return tree.Mkdir(c.rel, attr)
		case fs.ModeSymlink:
			line = appendLine(line[:0], "l", c.rel, int64(len(c.rel)), int64(len(c.target)))
			line = append(append(line, c.target...), '\n')
			h.bytes(line)
			return tree.Symlink(c.rel, c.target, attr)
		}
		kind := "x"
		if c.info.Mode()&0o100 == 0 {
			kind, attr.Mode = "f", 0o644
		}
		size := c.info.Size()
		line = appendLine(line[:0], kind, c.rel, int64(len(c.rel)), size)
		h.bytes(line)
		totals.Bytes += size
		if totals.Bytes-reported > 4<<20 {
			reported = totals.Bytes
			p.Report("pack", totals.Bytes, 0)
		}
		if c.whole() {
			return small.read(c, attr, tree, h)
		}
		return readFile(ctx, c, attr, tree, h)
	})
	return totals, err
}

// appendLine adds what is hashed of an element besides its content: numbers behind its kind, then its path.
func appendLine(b []byte, kind, path string, numbers ...int64) []byte {
	b = append(appendNumbers(append(b, kind...), numbers...), '\n')
	return append(append(b, path...), '\n')
}

// whole reads small files, each with one call, one after another into the same room.
type whole struct {
	buf     []byte
	content bytes.Reader
}

func newWhole() *whole { return &whole{buf: make([]byte, wholeSize+1)} }

// read packs a small file.
func (w *whole) read(c *content, attr ext4.Attr, tree layer.Tree, h *hasher) error {
	size, n := int(c.info.Size()), 0
	for n <= size { // one byte more tells that it has grown
		k, err := unix.Read(c.file, w.buf[n:size+1])
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("%s: %w", c.rel, err)
		}
		short := k < size+1-n
		if n += k; k == 0 || short && n == size {
			break
		}
	}
	if n != size {
		return c.changed()
	}
	h.bytes(w.buf[:n])
	w.content.Reset(w.buf[:n])
	if err := tree.File(c.rel, attr, int64(n), &w.content); err != nil {
		return fmt.Errorf("%s: %w", c.rel, err)
	}
	return nil
}

// readFile packs a file that was not read ahead.
func readFile(ctx context.Context, c *content, attr ext4.Attr, tree layer.Tree, h *hasher) error {
	f := c.takeFile()
	defer f.Close()
	r := &hashedContent{ctx, sparse.New(ctx, f, c.info), h}
	if err := tree.File(c.rel, attr, c.info.Size(), r); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return c.changed()
		}
		return fmt.Errorf("%s: %w", c.rel, err)
	}
	if st, err := f.Stat(); err != nil || !isSameFile(st, c.info) || st.Size() != c.info.Size() {
		return errors.Join(c.changed(), err)
	}
	return nil
}

// isSameFile says whether two looks were at one file.
func isSameFile(a, b fs.FileInfo) bool {
	x, ok := a.Sys().(*syscall.Stat_t)
	y, both := b.Sys().(*syscall.Stat_t)
	return ok && both && x.Dev == y.Dev && x.Ino == y.Ino
}
