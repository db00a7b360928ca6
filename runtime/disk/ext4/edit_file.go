package ext4

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"golang.org/x/sys/unix"
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
	near := uint64(dir.Number-1) / uint64(e.super.inodesPerGroup)
	if e.goal == 0 {
		e.goal = uint64(e.super.firstDataBlock) + near*uint64(e.super.perGroup) + 1
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
		e.super.ro |= roLargeFile
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
	number, err := e.newInode(uint64(dir.Number-1)/uint64(e.super.inodesPerGroup), false)
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
	if name == "" || name == "." || name == ".." || len(name) > maxName || bytes.ContainsAny([]byte(name), "/\x00") {
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

// contentWriter writes a file's content to free blocks.
type contentWriter struct {
	e       *Editor
	extents []extent
	blocks  uint64
	size    int64
	dirty   run // bytes that were written and are not on their way to the disk
}

func (w *contentWriter) copy(r io.Reader) error {
	size := w.e.blockSize
	source, sparse := r.(holes)
	buf := make([]byte, streamBuffer)
	for pos := int64(0); ; {
		lead := int64(0)
		if sparse {
			n, err := source.Skip()
			if err != nil {
				return fmt.Errorf("find holes: %w", err)
			}
			pos += n
			lead = pos % size
			clear(buf[:lead])
		}
		start := pos - lead
		n, err := readBlocks(r, buf, int(lead), int(size), sparse)
		end := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !end {
			return fmt.Errorf("read content: %w", err)
		}
		pos += int64(n)
		filled := (lead + int64(n) + size - 1) / size * size
		clear(buf[lead+int64(n) : filled])
		if pos > (1<<32-1)*size {
			return fmt.Errorf("%w: a file of more than %d bytes", ErrInvalid, (1<<32-1)*size)
		}
		if n > 0 {
			if err := w.write(start/size, buf[:filled], !sparse); err != nil {
				return err
			}
		}
		if end {
			w.size = pos
			w.flush()
			return nil
		}
	}
}

// readBlocks fills buf behind lead; of a source with holes, up to the next one, in whole blocks.
func readBlocks(r io.Reader, buf []byte, lead, size int, sparse bool) (n int, err error) {
	if !sparse {
		return io.ReadFull(r, buf[lead:])
	}
	if n, err = io.ReadAtLeast(r, buf[lead:], 1); err != nil {
		return n, err
	}
	whole := (lead + n + size - 1) / size * size
	more, err := io.ReadFull(r, buf[lead+n:whole])
	return n + more, err
}

var emptyBlock [BlockSize]byte

// write puts blocks at a place in the file.
func (w *contentWriter) write(logical int64, data []byte, detect bool) error {
	size := int(w.e.blockSize)
	for len(data) > 0 {
		n, empty := 0, false
		for n < len(data) {
			zero := detect && bytes.Equal(data[n:n+size], emptyBlock[:size])
			if n > 0 && zero != empty {
				break
			}
			empty = zero
			n += size
		}
		if !empty {
			if err := w.put(uint32(logical), data[:n]); err != nil {
				return err
			}
		}
		logical, data = logical+int64(n/size), data[n:]
	}
	return nil
}

func (w *contentWriter) put(logical uint32, data []byte) error {
	e := w.e
	for len(data) > 0 {
		want := uint64(int64(len(data)) / e.blockSize)
		r, err := e.take(want, e.least, e.goal)
		if err != nil {
			return err
		}
		e.goal = r.end()
		n := r.count * uint64(e.blockSize)
		at := int64(r.start) * e.blockSize
		if _, err := e.dev.WriteAt(data[:n], at); err != nil {
			return fmt.Errorf("write content: %w", err)
		}
		w.extents = appendBlocks(w.extents, logical, r.start, uint32(r.count))
		w.blocks += r.count
		logical, data = logical+uint32(r.count), data[n:]
		if w.dirty.end() != uint64(at) {
			w.flush()
			w.dirty = run{uint64(at), 0}
		}
		if w.dirty.count += n; w.dirty.count >= streamWriteback {
			w.flush()
		}
	}
	return nil
}

// flush asks the kernel to start writing.
func (w *contentWriter) flush() {
	if f, ok := w.e.dev.(interface{ Fd() uintptr }); ok && w.dirty.count >= streamBuffer {
		_ = unix.SyncFileRange(int(f.Fd()), int64(w.dirty.start), int64(w.dirty.count), unix.SYNC_FILE_RANGE_WRITE)
	}
	w.dirty = run{w.dirty.end(), 0}
}
