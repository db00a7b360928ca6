// Package sparse reads files with their holes: what holds no data costs no reading, however long it is. A file
// reads as the same bytes whether its holes are passed over or not, and one that is cut while it is read ends early.
package sparse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Reader is content that can be read without its holes.
type Reader interface {
	io.Reader
	// Skip passes over the hole that begins here and gives its length in bytes; 0 where there is none. Read goes no
	// further than the next hole once Skip was called.
	Skip() (int64, error)
}

// File reads an open file from its beginning. It ends with its context.
type File struct {
	ctx context.Context
	f   *os.File
	at  int64
	end int64 // of the data that at lies in
}

var _ Reader = (*File)(nil)

const dense = 1<<63 - 1 // the end of what has no holes

// New reads f, whose holes are looked for only where info, of f, says that it takes less room than its length.
func New(ctx context.Context, f *os.File, info fs.FileInfo) *File {
	r := &File{ctx: ctx, f: f}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Blocks*512 >= st.Size {
		r.end = dense
	}
	return r
}

// Skip passes over a hole. Where the host's file system keeps none, there are none.
func (r *File) Skip() (int64, error) {
	if r.at < r.end {
		return 0, nil
	}
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	next, err := r.data(r.at)
	if err == io.EOF {
		st, err := r.f.Stat()
		if err != nil {
			return 0, err
		}
		n := max(st.Size()-r.at, 0)
		r.at, r.end = r.at+n, r.at+n
		return n, nil
	}
	if err != nil {
		return 0, err
	}
	n := next.Offset - r.at
	r.at, r.end = next.Offset, next.Offset+next.Length
	return n, nil
}

// data is the first run that ends behind at; io.EOF where nothing follows but a hole, or the end. Where the host's file
// system keeps no holes all is data.
func (r *File) data(at int64) (Run, error) {
	if r.end == dense {
		return Run{at, dense - at}, nil
	}
	fd := int(r.f.Fd())
	from, err := unix.Seek(fd, at, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		return Run{}, io.EOF
	}
	if err != nil {
		r.end = dense
		return Run{at, dense - at}, nil
	}
	end, err := unix.Seek(fd, from, unix.SEEK_HOLE)
	if err != nil {
		return Run{}, fmt.Errorf("find holes: %w", err)
	}
	return Run{from, end - from}, nil
}

// Read reads on. What was a hole reads as zeros.
func (r *File) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	if r.at < r.end {
		p = p[:min(int64(len(p)), r.end-r.at)]
	}
	n, err := r.f.ReadAt(p, r.at)
	r.at += int64(n)
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}
