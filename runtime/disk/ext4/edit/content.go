package edit

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/format"
)

const (
	contentBuffer    = 1 << 20 // bytes that are read at once
	contentWriteback = 8 << 20 // and after how many the kernel is told to write them
)

// contentWriter writes a file's content to free blocks.
type contentWriter struct {
	e       *Editor
	extents []format.Extent
	blocks  uint64
	size    int64
	dirty   format.Run // bytes that were written and are not on their way to the disk
}

func (w *contentWriter) copy(r io.Reader) error {
	size := w.e.BlockSize
	source, sparse := r.(holes)
	buf := make([]byte, contentBuffer)
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
			return fmt.Errorf("%w: a file of more than %d bytes", ext4.ErrInvalid, (1<<32-1)*size)
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

var emptyBlock [ext4.BlockSize]byte

// write puts blocks at a place in the file.
func (w *contentWriter) write(logical int64, data []byte, detect bool) error {
	size := int(w.e.BlockSize)
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
		want := uint64(int64(len(data)) / e.BlockSize)
		r, err := e.take(want, e.least, e.goal)
		if err != nil {
			return err
		}
		e.goal = r.End()
		n := r.Count * uint64(e.BlockSize)
		at := int64(r.Start) * e.BlockSize
		if _, err := e.dev.WriteAt(data[:n], at); err != nil {
			return fmt.Errorf("write content: %w", err)
		}
		w.extents = format.AppendBlocks(w.extents, logical, r.Start, uint32(r.Count))
		w.blocks += r.Count
		logical, data = logical+uint32(r.Count), data[n:]
		if w.dirty.End() != uint64(at) {
			w.flush()
			w.dirty = format.Run{Start: uint64(at), Count: 0}
		}
		if w.dirty.Count += n; w.dirty.Count >= contentWriteback {
			w.flush()
		}
	}
	return nil
}

// flush asks the kernel to start writing.
func (w *contentWriter) flush() {
	if f, ok := w.e.dev.(interface{ Fd() uintptr }); ok && w.dirty.Count >= contentBuffer {
		_ = unix.SyncFileRange(int(f.Fd()), int64(w.dirty.Start), int64(w.dirty.Count), unix.SYNC_FILE_RANGE_WRITE)
	}
	w.dirty = format.Run{Start: w.dirty.End(), Count: 0}
}
