// Package tartree reads tar streams: where they end, what their entries are and what their names mean. What becomes of
// an entry is for who asks.
//
// It promises that a stream that was cut is never taken for a whole one, wherever an end mark is asked for; that errors
// of the format are driver.ErrCorrupt and the source's own come as they are; and that a name it cleaned leads nowhere
// out of its tree. It follows no link and writes nothing.
package tartree

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"microagent/runtime/driver"
)

// block is the unit of a tar stream; its end mark is two of zeros, and many writers leave the second out.
const block = 512

// ErrUnended says that a stream ends between two entries, and without the end mark that was asked for.
var ErrUnended = errors.New("it ends without an end mark")

// Options say what a stream must be.
type Options struct {
	// EndMark is how many zero bytes must end the stream: 0 takes an end between two entries for the end, as layers
	// of some tools have it.
	EndMark int64
}

// End marks.
const (
	NoMark   = 0
	OneBlock = block
	Whole    = 2 * block
)

// Types that GNU tar writes and archive/tar has no name for: "Basic Tar Format" and what follows in GNU tar's manual.
const (
	gnuDirectory = 'D' // of an incremental archive, with the names that it had
	gnuLabel     = 'V' // the name of the archive
	gnuContinued = 'M' // a file that began in another volume
)

// Reader reads one stream.
type Reader struct {
	in  *source
	tar *tar.Reader
	opt Options
	any bool

	holes *holes // of the entry; nil of one without a map
	begun bool   // the entry's content was read
}

// NewReader begins a stream. Where no end mark is asked for, what is not read of a file is jumped over.
func NewReader(r io.Reader, opt Options) *Reader {
	in := &source{r: r}
	t := &Reader{in: in, tar: tar.NewReader(in), opt: opt}
	if s, ok := r.(io.Seeker); ok && opt.EndMark == NoMark {
		t.tar = tar.NewReader(seekable{in, s})
	}
	return t
}

// Next gives the next entry, and io.EOF at the stream's end. Global headers and labels of GNU tar are passed over. A regular file of an
// archive before POSIX whose name ends in a slash is a directory, as other readers of tars have it.
func (t *Reader) Next() (*tar.Header, error) {
	for {
		if err := t.pass(); err != nil {
			return nil, t.explain(err)
		}
		// What is left of the last entry is read apart, so that what comes behind it can be counted.
		if t.any && t.opt.EndMark != NoMark {
			if _, err := io.Copy(io.Discard, t.tar); err != nil {
				return nil, t.explain(err)
			}
		}
		t.in.watched, t.in.zeros = t.opt.EndMark != NoMark, 0
		h, err := t.tar.Next()
		t.in.watched = false
		switch {
		case errors.Is(err, io.EOF):
			// The stream may also end behind the records of an entry that does not come.
			if t.in.zeros < t.opt.EndMark {
				return nil, fmt.Errorf("%w: %w", driver.ErrCorrupt, ErrUnended)
			}
			return nil, io.EOF
		case err != nil:
			return nil, t.explain(err)
		}
		t.any = true
		switch h.Typeflag {
		case tar.TypeXGlobalHeader, gnuLabel:
			continue
		case gnuDirectory:
			h.Typeflag, h.Size = tar.TypeDir, 0 // its content is a list of names
		case gnuContinued:
			return nil, fmt.Errorf("%w: it is a later one of several volumes (tar -M)", driver.ErrUnsupported)
		}
		if h.Typeflag == tar.TypeReg && h.Format == tar.FormatUnknown && h.Size == 0 && strings.HasSuffix(h.Name, "/") {
			h.Typeflag = tar.TypeDir
		}
		t.holes, t.begun = holesOf(h), false
		return h, nil
	}
}

// Read reads the entry's content.
func (t *Reader) Read(p []byte) (int, error) {
	t.begun = true
	if t.holes != nil && t.holes.direct {
		n, err := t.holes.read(t.in, p)
		if err != nil && !errors.Is(err, io.EOF) {
			err = t.explain(err)
		}
		return n, err
	}
	n, err := t.tar.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = t.explain(err)
	}
	return n, err
}

// Data is how many bytes of content the stream has of the entry h that was read last, without its holes; 0 where the
// stream does not say.
func (t *Reader) Data(h *tar.Header) int64 {
	switch {
	case t.holes != nil:
		return t.holes.data
	case h.Typeflag == tar.TypeGNUSparse || h.PAXRecords[sparseMajor] != "" || h.PAXRecords[sparseMinor] != "":
		return 0
	}
	return h.Size
}

// Drain reads what follows the end: a source may check a digest there.
func (t *Reader) Drain() error {
	_, err := io.Copy(io.Discard, t.in)
	return t.explain(err)
}

func (t *Reader) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case t.in.err != nil && !errors.Is(t.in.err, io.ErrUnexpectedEOF):
		return t.in.err
	case errors.Is(err, driver.ErrCorrupt):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: it ends too early: %w", driver.ErrCorrupt, err)
	}
	return fmt.Errorf("%w: %w", driver.ErrCorrupt, err)
}

// IsFile says whether an entry is a regular file, however old the archive.
func IsFile(h *tar.Header) bool {
	switch h.Typeflag {
	case tar.TypeReg, '\x00', tar.TypeCont, tar.TypeGNUSparse:
		return true
	}
	return false
}

// Clean is a name relative to the tree's root and never above it; "" for the root.
func Clean(name string) string { return path.Clean("/" + name)[1:] }

// Rooted is Clean in the words of os.Root: "." for the root.
func Rooted(name string) string { return path.Clean(Clean(name)) }

// Plain is a name without what says nothing in it, "." for the root. It may still lead out, for who refuses that.
func Plain(name string) string { return path.Clean(name) }

// Strict is Clean for names that must not try to leave: absolute ones and those with ".." are ErrInvalid.
func Strict(name string) (string, error) {
	if strings.HasPrefix(name, "/") {
		return "", fmt.Errorf("%w: absolute path", driver.ErrInvalid)
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", fmt.Errorf("%w: .. in its path", driver.ErrInvalid)
		}
	}
	return Clean(name), nil
}

// seekable is a source that archive/tar can jump in.
type seekable struct {
	io.Reader
	io.Seeker
}

// source remembers how what is read broke, and how it ended.
type source struct {
	r       io.Reader
	err     error
	watched bool
	zeros   int64 // bytes that are zero at the end of what was read while it was watched
}

func (c *source) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if c.watched {
		end := len(bytes.TrimRight(p[:n], "\x00"))
		if end > 0 {
			c.zeros = 0
		}
		c.zeros += int64(n - end)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}
