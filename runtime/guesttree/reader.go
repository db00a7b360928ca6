// Package guesttree reads the tree of files that a guest sends, and says where its links may lead. What a guest says is
// hostile: the headers of a stream that make no entry are counted, and what entries may cost is a tartree.Budget. No link is ever followed. What is read ends with its context.
//
// The packages that write a guest's files on the host import it.
package guesttree

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"strings"

	"microagent/runtime/driver"
	"microagent/runtime/tartree"
)

// What a stream may hold besides content: headerRoom for an entry's own headers, with what PAX adds to them, and
// slack over all for the next entry's. archive/tar takes no extended header above 1 MiB.
const (
	headerRoom = 4 << 10
	slack      = 2 << 20
)

// Reader reads a guest's tar stream. Headers that no entry follows are an *tartree.ExceededError, a stream that ends early or is
// no tar is ErrCorrupt; the stream's own errors and its context's end come as they are.
type Reader struct {
	ctx     context.Context
	tr      *tartree.Reader
	r       io.Reader
	n       int64 // bytes that were read of r
	allowed int64 // bytes that the entries so far account for
	err     error // what r said
}

// NewReader begins a stream.
func NewReader(ctx context.Context, r io.Reader) *Reader {
	t := &Reader{ctx: ctx, r: r}
	t.tr = tartree.NewReader(raw{t}, tartree.Options{EndMark: tartree.Whole})
	return t
}

// Next gives the next entry, io.EOF at the stream's proper end. Its name and target hold on to no other memory.
func (t *Reader) Next() (*tar.Header, error) {
	h, err := t.tr.Next()
	if err == io.EOF {
		return nil, io.EOF
	}
	if err != nil {
		return nil, t.failed(err)
	}
	h.Name, h.Linkname = strings.Clone(h.Name), strings.Clone(h.Linkname)
	t.allowed += headerRoom + 2*int64(len(h.Name)+len(h.Linkname)) + tartree.MapSize(h) + max(t.tr.Data(h), 0)
	return h, nil
}

// Read reads the entry's content.
func (t *Reader) Read(p []byte) (int, error) {
	n, err := t.tr.Read(p)
	if err != nil && err != io.EOF {
		err = t.failed(err)
	}
	return n, err
}

// Sparse says whether the entry came without its holes.
func (t *Reader) Sparse() bool { return t.tr.Sparse() }

// Data is how many bytes of content the guest says that it sends of the entry h that was read last, which holes are no part of.
func (t *Reader) Data(h *tar.Header) int64 { return t.tr.Data(h) }

// Skip passes over a hole of the entry's content, as sparse.Reader has it.
func (t *Reader) Skip() (int64, error) { return t.tr.Skip() }

func (t *Reader) failed(err error) error {
	switch {
	case t.ctx.Err() != nil:
		return t.ctx.Err()
	case t.err != nil:
		return t.err
	}
	return Corrupt(err)
}

// Corrupt is the error of a stream that is no tree.
func Corrupt(err error) error {
	return &driver.Error{Class: driver.ErrCorrupt, Op: "read", Object: "the tree that the guest sent", Err: err}
}

// raw is the stream below the tar.
type raw struct{ t *Reader }

func (r raw) Read(p []byte) (int, error) {
	t := r.t
	if err := t.ctx.Err(); err != nil {
		return 0, err
	}
	if t.n > t.allowed+slack {
		t.err = &tartree.ExceededError{What: "bytes of headers that no entry follows", Limit: slack}
		return 0, t.err
	}
	n, err := t.r.Read(p)
	t.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) && t.err == nil {
		t.err = err
	}
	return n, err
}
