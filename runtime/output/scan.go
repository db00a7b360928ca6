package output

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"microagent/runtime/driver"
)

// scan reads the tree at base in parent, and hands it to p when p is not nil. Links are never followed.
func scan(ctx context.Context, parent *os.Root, base string, p *packer) (tree, error) {
	fi, err := parent.Lstat(base)
	if err != nil {
		return nil, err
	}
	if !fi.IsDir() {
		e, err := scanEntry(ctx, parent, base, ".", fs.FileInfoToDirEntry(fi), p)
		return tree{".": e}, err
	}
	tr := tree{}
	err = fs.WalkDir(parent.FS(), base, func(name string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		e, err := scanEntry(ctx, parent, name, relative(base, name), d, p)
		tr[relative(base, name)] = e
		return err
	})
	return tr, err
}

func relative(base, name string) string {
	if name == base {
		return "."
	}
	return name[len(base)+1:]
}

func scanEntry(ctx context.Context, parent *os.Root, name, rel string, d fs.DirEntry, p *packer) (entry, error) {
	switch d.Type() {
	case fs.ModeDir:
		return entry{kind: kindDir}, p.header(rel, tar.TypeDir, 0, true, "")
	case fs.ModeSymlink:
		target, err := parent.Readlink(name)
		if err != nil {
			return entry{}, err
		}
		return entry{kind: kindLink, target: target}, p.header(rel, tar.TypeSymlink, 0, true, target)
	case 0:
		return scanFile(ctx, parent, name, rel, p)
	}
	if p != nil {
		return entry{}, &driver.Error{
			Class: driver.ErrRefused, Op: "pack", Object: name,
			Err: errors.New("neither a file, a directory nor a symlink"), Next: "remove it",
		}
	}
	return entry{kind: kindOther}, nil
}

func scanFile(ctx context.Context, parent *os.Root, name, rel string, p *packer) (entry, error) {
	f, err := parent.Open(name)
	if err != nil {
		return entry{}, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return entry{}, err
	}
	if !fi.Mode().IsRegular() {
		return entry{}, fmt.Errorf("%s changed while it was read", name)
	}
	e := entry{kind: fileKind(fi.Mode()), size: fi.Size()}
	if err := p.header(rel, tar.TypeReg, e.size, e.kind == kindExec, ""); err != nil {
		return entry{}, err
	}
	h := sha256.New()
	n, err := io.Copy(p.and(h), &contextReader{ctx, io.LimitReader(f, e.size)})
	if err != nil {
		return entry{}, err
	}
	if n != e.size {
		return entry{}, fmt.Errorf("%s shrank while it was read", name)
	}
	h.Sum(e.sum[:0])
	return e, nil
}

func fileKind(m fs.FileMode) kind {
	if m&0o111 != 0 {
		return kindExec
	}
	return kindFile
}

// packer writes a tree as a tar stream. A nil one writes nothing.
type packer struct{ w *tar.Writer }

func newPacker(w io.Writer) *packer { return &packer{tar.NewWriter(w)} }

func (p *packer) header(name string, typ byte, size int64, exec bool, target string) error {
	if p == nil {
		return nil
	}
	h := &tar.Header{Typeflag: typ, Name: name, Size: size, Mode: 0o644, Linkname: target}
	if exec {
		h.Mode = 0o755
	}
	if typ == tar.TypeDir {
		h.Name = path.Clean(name) + "/"
	}
	return p.w.WriteHeader(h)
}

func (p *packer) and(w io.Writer) io.Writer {
	if p == nil {
		return w
	}
	return io.MultiWriter(w, p.w)
}

func (p *packer) close() error { return p.w.Close() }

// contextReader ends with ctx.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
