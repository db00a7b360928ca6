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
	"strings"

	"microagent/runtime/driver"
)

// Bounds that hold whatever the limit is.
const (
	maxEntries = 1 << 20
	maxDepth   = 200  // folders above an entry
	maxName    = 4095 // bytes in a path or a link's target, as Linux has it
	headerCost = 512  // what each entry counts against the limit, besides its name and bytes
)

// stageName is the name that the tree has while it is written.
const stageName = "tree"

// unpacker writes a hostile tar stream below root.
type unpacker struct {
	ctx  context.Context
	root *os.Root
	left int64 // bytes of the limit
	max  int64
	tree tree
}

// unpack reads stream into root, under stageName, and gives what it wrote.
func unpack(ctx context.Context, stream io.Reader, root *os.Root, limit int64) (tree, error) {
	u := &unpacker{ctx: ctx, root: root, left: limit, max: limit, tree: tree{}}
	in := &countReader{r: &contextReader{ctx, stream}}
	tr := tar.NewReader(in)
	for {
		before := in.n
		h, err := tr.Next()
		if err == io.EOF {
			// The end is two zero blocks, after less than one block of padding.
			if in.n-before < 1024 {
				return nil, corrupt(io.ErrUnexpectedEOF)
			}
			break
		}
		if err != nil {
			return nil, streamError(ctx, in, err)
		}
		if err := u.entry(h, tr, in); err != nil {
			return nil, err
		}
	}
	if len(u.tree) == 0 {
		return nil, corrupt(errors.New("the stream holds no entry"))
	}
	return u.tree, u.tree.checkLinks()
}

func (u *unpacker) entry(h *tar.Header, r io.Reader, in *countReader) error {
	name, err := cleanName(h.Name)
	if err != nil {
		return refuse(h.Name, err)
	}
	if len(u.tree) >= maxEntries {
		return refuse(h.Name, fmt.Errorf("more than %d entries", maxEntries))
	}
	if err := u.spend(h, name); err != nil {
		return err
	}
	if old, ok := u.tree[name]; ok && (old.kind != kindDir || h.Typeflag != tar.TypeDir) {
		return refuse(h.Name, errors.New("it is in the stream twice"))
	}
	if err := u.parents(h.Name, name); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return u.dir(name)
	case tar.TypeReg:
		return u.file(name, h, r, in)
	case tar.TypeSymlink:
		return u.link(name, h)
	case tar.TypeLink:
		return refuse(h.Name, errors.New("hard links are not brought out"))
	case tar.TypeChar, tar.TypeBlock:
		return refuse(h.Name, errors.New("devices are not brought out"))
	case tar.TypeFifo:
		return refuse(h.Name, errors.New("fifos are not brought out"))
	}
	return refuse(h.Name, fmt.Errorf("entries of type %q are not brought out", h.Typeflag))
}

// spend counts an entry against the limit.
func (u *unpacker) spend(h *tar.Header, name string) error {
	cost := int64(0)
	if name != "." {
		cost = headerCost + int64(len(name)+len(h.Linkname))
	}
	if h.Typeflag == tar.TypeReg {
		if h.Size > u.left {
			return u.tooLarge(h.Name)
		}
		cost += h.Size
	}
	if cost > u.left {
		return u.tooLarge(h.Name)
	}
	u.left -= cost
	return nil
}

func (u *unpacker) tooLarge(name string) error {
	return &driver.Error{
		Class: driver.ErrRefused, Op: "bring out", Object: fmt.Sprintf("%q", name),
		Err:  fmt.Errorf("the output is larger than its limit of %d bytes", u.max),
		Next: "raise the output's limit, or let the guest write less",
	}
}

// parents makes the folders above name that the stream did not name.
func (u *unpacker) parents(raw, name string) error {
	if name == "." {
		return nil
	}
	for i := 0; i < len(name); i++ {
		if name[i] != '/' {
			continue
		}
		if err := u.parent(raw, name[:i]); err != nil {
			return err
		}
	}
	return u.parent(raw, ".")
}

func (u *unpacker) parent(raw, dir string) error {
	e, ok := u.tree[dir]
	switch {
	case ok && e.kind != kindDir:
		return refuse(raw, fmt.Errorf("%q above it is not a directory", dir))
	case ok:
		return nil
	case dir != ".":
		if err := u.parent(raw, "."); err != nil {
			return err
		}
		if u.left -= headerCost; u.left < 0 || len(u.tree) >= maxEntries {
			return u.tooLarge(raw)
		}
	}
	return u.dir(dir)
}

func (u *unpacker) dir(name string) error {
	if _, ok := u.tree[name]; ok {
		return nil
	}
	u.tree[name] = entry{kind: kindDir}
	return u.root.Mkdir(path.Join(stageName, name), 0o777)
}

func (u *unpacker) link(name string, h *tar.Header) error {
	if name == "." {
		return refuse(h.Name, errors.New("a symlink alone is not brought out"))
	}
	if h.Linkname == "" || len(h.Linkname) > maxName || strings.ContainsRune(h.Linkname, 0) {
		return refuse(h.Name, errors.New("not a link's target"))
	}
	if path.IsAbs(h.Linkname) {
		return refuse(h.Name, fmt.Errorf("it is a link to the absolute path %q", h.Linkname))
	}
	u.tree[name] = entry{kind: kindLink, target: h.Linkname}
	return u.root.Symlink(h.Linkname, path.Join(stageName, name))
}

func (u *unpacker) file(name string, h *tar.Header, r io.Reader, in *countReader) error {
	e := entry{kind: fileKind(fs.FileMode(h.Mode)), size: h.Size}
	perm := fs.FileMode(0o666)
	if e.kind == kindExec {
		perm = 0o777
	}
	f, err := u.root.OpenFile(path.Join(stageName, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, sum), r)
	if err != nil {
		if _, ok := errors.AsType[*fs.PathError](err); ok && in.err == nil {
			return err
		}
		return streamError(u.ctx, in, err)
	}
	if n != h.Size {
		return corrupt(io.ErrUnexpectedEOF)
	}
	sum.Sum(e.sum[:0])
	u.tree[name] = e
	return f.Close()
}

// cleanName gives the path of an entry in the tree.
func cleanName(name string) (string, error) {
	if name == "" || len(name) > maxName || strings.ContainsRune(name, 0) {
		return "", errors.New("not a name")
	}
	if path.IsAbs(name) {
		return "", errors.New("its path is absolute")
	}
	depth := 0
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", errors.New("its path leads upwards")
		}
		if part != "" && part != "." {
			depth++
		}
	}
	if depth > maxDepth {
		return "", fmt.Errorf("more than %d folders deep", maxDepth)
	}
	return path.Clean(name), nil
}

func refuse(name string, err error) error {
	return &driver.Error{
		Class: driver.ErrRefused, Op: "bring out", Object: fmt.Sprintf("%q", name), Err: err,
		Next: "let the guest leave it out",
	}
}

func corrupt(err error) error {
	return &driver.Error{Class: driver.ErrCorrupt, Op: "read", Object: "the tree that the guest sent", Err: err}
}

// streamError keeps what the stream itself said, and makes the rest ErrCorrupt.
func streamError(ctx context.Context, in *countReader, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if in.err != nil {
		return in.err
	}
	return corrupt(err)
}

// countReader counts bytes and remembers an error other than io.EOF.
type countReader struct {
	r   io.Reader
	n   int64
	err error
}

func (c *countReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if err != nil && err != io.EOF {
		c.err = err
	}
	return n, err
}
