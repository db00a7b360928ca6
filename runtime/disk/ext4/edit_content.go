package ext4

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

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
