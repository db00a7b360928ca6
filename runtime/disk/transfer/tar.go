package transfer

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"microagent/runtime/disk/sparse"
	"microagent/runtime/driver"
	"microagent/runtime/guesttree"
	"microagent/runtime/tartree"
)

// Unpack writes a tar stream of a guest into a sink: a file is one entry named ".", a directory's entry is ".", what is
// in it has names relative to it. All files together have no more than limit bytes.
func Unpack(ctx context.Context, r io.Reader, s *Sink, limit int64) error {
	in := guesttree.NewReader(ctx, r)
	left := limit
	for n := 0; ; n++ {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			if n == 0 {
				return problem(driver.ErrCorrupt, opIn, s.Path("."), "", "the guest sent nothing")
			}
			return nil
		}
		if err != nil {
			return sent(s.Path("."), err)
		}
		e := Entry{Name: tartree.Plain(h.Name), Mode: h.FileInfo().Mode(), Time: h.ModTime, Size: h.Size, Target: h.Linkname}
		if h.Typeflag == tar.TypeLink {
			e.Mode, e.Link, e.Target = e.Mode.Perm(), tartree.Plain(h.Linkname), ""
		}
		if (n == 0) != (e.Name == ".") || n == 0 && e.Mode.IsDir() != s.tree || n > 0 && !s.tree {
			return problem(driver.ErrCorrupt, opIn, s.Path("."), "", "the guest sent an entry %q that does not belong there", e.Name)
		}
		data, content := h.Size, io.Reader(struct{ io.Reader }{in}) // what is all zero is taken for a hole, and is read all the same
		if in.Sparse() {
			data, content = in.Data(h), in
		}
		if data > left {
			return tooMuch(s.Path(e.Name), limit)
		}
		left -= data
		if err := s.Add(ctx, e, content); err != nil {
			return err
		}
	}
}

// Single writes the file that a guest's tar stream is, of no more than limit bytes.
func Single(ctx context.Context, r io.Reader, w io.Writer, limit int64) (int64, error) {
	in := guesttree.NewReader(ctx, r)
	h, err := in.Next()
	if err != nil {
		return 0, sent("-", err)
	}
	if h.Typeflag != tar.TypeReg {
		return 0, errors.New("the guest sent no file")
	}
	if h.Size > limit {
		return 0, tooMuch("-", limit)
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{w}, in, make([]byte, piece))
	if err != nil {
		return n, fmt.Errorf("pass on what the guest sent: %w", err)
	}
	return n, nil
}

func sent(to string, err error) error {
	if over, ok := errors.AsType[*tartree.ExceededError](err); ok {
		return problem(driver.ErrRefused, opIn, to, "", "the guest sent %w", over)
	}
	return fmt.Errorf("read what the guest sent: %w", err)
}

func tooMuch(to string, limit int64) error {
	return problem(driver.ErrRefused, opIn, to, "copy it while the workspace is stopped, if it has holes", "the guest sent more than its disks and memory have, %d bytes", limit)
}

// Pack writes entries as a tar stream for a guest, below a name and with an owner.
type Pack struct {
	w        *tar.Writer
	to       io.Writer // of w
	name     string
	uid, gid int
}

// NewPack begins a stream; name is what the copy is to be called, "." to merge a directory into where it comes.
func NewPack(w io.Writer, name string, uid, gid uint32) *Pack {
	return &Pack{tar.NewWriter(w), w, name, int(uid), int(gid)}
}

// Add writes an entry with its content, whose size must be known, without its holes. Of a link to an earlier one the name
// is enough.
func (p *Pack) Add(e Entry, content io.Reader) (int64, error) {
	h := &tar.Header{
		Format: tar.FormatPAX, Name: path.Join(p.name, e.Name), Mode: int64(bits(e.Mode)), Uid: p.uid, Gid: p.gid,
		ModTime: e.Time,
	}
	switch {
	case e.Mode.IsDir():
		h.Typeflag, h.Name = tar.TypeDir, h.Name+"/"
	case e.Mode&fs.ModeSymlink != 0:
		h.Typeflag, h.Linkname = tar.TypeSymlink, e.Target
	case e.Link != "":
		h.Typeflag, h.Linkname = tar.TypeLink, path.Join(p.name, e.Link)
	default:
		h.Typeflag, h.Size = tar.TypeReg, e.Size
	}
	if strings.ContainsRune(h.Name+h.Linkname, 0) {
		return 0, fmt.Errorf("%q can't be a name", h.Name)
	}
	if f, ok := content.(*sparse.File); ok && h.Typeflag == tar.TypeReg {
		data, err := f.Runs(h.Size, tartree.MaxRuns)
		if err != nil {
			return 0, err
		}
		if !sparse.Whole(data, h.Size) {
			return h.Size, shorter(e, tartree.WriteSparse(p.w, p.to, h, data, f))
		}
	}
	if err := p.w.WriteHeader(h); err != nil || h.Typeflag != tar.TypeReg {
		return 0, err
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{p.w}, io.LimitReader(content, e.Size), make([]byte, piece))
	if err == nil && n < e.Size {
		err = io.ErrUnexpectedEOF
	}
	return n, shorter(e, err)
}

func shorter(e Entry, err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%s became shorter while it was read", e.Name)
	}
	return err
}

// Close ends the stream.
func (p *Pack) Close() error { return p.w.Close() }
