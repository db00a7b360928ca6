package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/layer"
	"microagent/runtime/disk/sparse"
	"microagent/runtime/driver"
)

// readNames lists a directory in byte order.
func (s *source) readNames(rel string) ([]string, error) {
	f, err := s.tree.Open(path.Clean(rel))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}

// readDirectory puts the normalised directory into tree: modes 0644 and 0755, owner 0, one time for all. What
// is hashed is, for each element: kind, executable or not, lengths, path, and content or target.
func (s *source) readDirectory(ctx context.Context, tree layer.Tree, h *hasher, marks *marks, p driver.Progress) (layer.Totals, error) {
	var totals layer.Totals
	reported := int64(0)
	err := s.walk(ctx, func(e element) error {
		marks.add(e.rel, e.info)
		totals.Entries++
		attr := ext4.Attr{Mode: 0o755, Mtime: Epoch}
		switch e.info.Mode().Type() {
		case fs.ModeDir:
			h.text(fmt.Sprintf("d %d\n%s\n", len(e.rel), e.rel))
			return tree.Mkdir(e.rel, attr)
		case fs.ModeSymlink:
			target, err := s.tree.Readlink(e.rel)
			if err != nil {
				return err
			}
			h.text(fmt.Sprintf("l %d %d\n%s\n%s\n", len(e.rel), len(target), e.rel, target))
			return tree.Symlink(e.rel, target, attr)
		}
		kind := "x"
		if e.info.Mode()&0o100 == 0 {
			kind, attr.Mode = "f", 0o644
		}
		size := e.info.Size()
		h.text(fmt.Sprintf("%s %d %d\n%s\n", kind, len(e.rel), size, e.rel))
		totals.Bytes += size
		if totals.Bytes-reported > 4<<20 {
			reported = totals.Bytes
			p.Report("pack", totals.Bytes, 0)
		}
		return s.readFile(ctx, e, attr, tree, h)
	})
	return totals, err
}

func (s *source) readFile(ctx context.Context, e element, attr ext4.Attr, tree layer.Tree, h *hasher) error {
	changed := func() error { return fmt.Errorf("%w: %s changed while it was read", driver.ErrStale, e.rel) }
	f, err := s.tree.Open(e.rel)
	if errors.Is(err, unix.ESTALE) || errors.Is(err, unix.ELOOP) {
		return changed()
	}
	if err != nil {
		return err
	}
	defer f.Close()
	r := &hashedContent{ctx, sparse.New(ctx, f, e.info), h}
	if err := tree.File(e.rel, attr, e.info.Size(), r); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return changed()
		}
		return fmt.Errorf("%s: %w", e.rel, err)
	}
	if st, err := f.Stat(); err != nil || !isSameFile(st, e.info) || st.Size() != e.info.Size() {
		return errors.Join(changed(), err)
	}
	return nil
}

// isSameFile says whether two looks were at one file.
func isSameFile(a, b fs.FileInfo) bool {
	x, ok := a.Sys().(*syscall.Stat_t)
	y, both := b.Sys().(*syscall.Stat_t)
	return ok && both && x.Dev == y.Dev && x.Ino == y.Ino
}
