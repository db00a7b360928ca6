package output

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path"
	"strings"

	"microagent/runtime/disk/sparse"
	"microagent/runtime/driver"
	"microagent/runtime/guesttree"
	"microagent/runtime/tartree"
)

// Bounds that hold whatever the limit is.
const (
	maxEntries = 1 << 20
	maxText    = 64 << 20 // bytes of all names and targets, kept in memory until the tree is complete
	maxDepth   = 200      // folders above an entry
	maxName    = 4095     // bytes in a path or a link's target, as Linux has it
	headerCost = 512      // what each entry counts against the limit, besides its name and bytes
)

// stageName is the name that the tree has while it is written.
const stageName = "tree"

// unpacker writes a hostile tar stream below root.
type unpacker struct {
	ctx    context.Context
	root   *os.Root
	max    int64 // bytes of the limit
	budget *tartree.Budget
	tree   tree
	left   driver.LeftOut
	age    age
}

// age counts by when entries were last changed, where the stream says so.
type age struct {
	older   int  // entries but directories that are from before the run
	touched bool // there is one of the run
}

func (a *age) count(h *tar.Header) {
	switch {
	case h.PAXRecords[driver.PAXBefore] == "":
		a.touched = true
	case h.Typeflag != tar.TypeDir:
		a.older++
	}
}

// unpack reads stream into root, under stageName, and gives what it wrote, and of what is noted about it what it left out
// and how old it is.
func unpack(ctx context.Context, stream io.Reader, root *os.Root, limit int64) (tree, driver.Fetched, error) {
	u := &unpacker{
		ctx: ctx, root: root, max: limit, tree: tree{},
		budget: tartree.NewBudget(tartree.Limits{Bytes: limit, Entries: maxEntries, Text: maxText}),
	}
	in := guesttree.NewReader(ctx, stream)
	for {
		h, err := in.Next()
		if err == io.EOF {
			break
		}
		if over, ok := errors.AsType[*tartree.ExceededError](err); ok {
			err = &driver.Error{Class: driver.ErrRefused, Op: "bring out", Object: "the tree", Err: over, Next: "look at what the guest sends"}
		}
		if err == nil {
			err = u.entry(h, in)
		}
		if err != nil {
			return nil, u.noted(), err
		}
	}
	maps.DeleteFunc(u.tree, func(_ string, e entry) bool { return e.kind == kindOther })
	if len(u.tree) == 0 {
		return nil, u.noted(), guesttree.Corrupt(errors.New("the stream holds no entry"))
	}
	return u.tree, u.noted(), ctx.Err()
}

func (u *unpacker) noted() driver.Fetched {
	return driver.Fetched{LeftOut: u.left, Unchanged: !u.age.touched, Older: u.age.older}
}

func (u *unpacker) entry(h *tar.Header, r io.Reader) error {
	u.age.count(h)
	name, err := cleanName(h.Name)
	if err != nil {
		return refuse(h.Name, err)
	}
	old, twice := u.tree[name]
	if twice && (old.kind != kindDir || h.Typeflag != tar.TypeDir) {
		return refuse(h.Name, errors.New("it is in the stream twice"))
	}
	if err := u.spend(h, name); err != nil {
		return err
	}
	if err := u.parents(h.Name, name); err != nil {
		return err
	}
	mode := h.FileInfo().Mode()
	switch {
	case h.Typeflag == tar.TypeDir:
		return u.dir(name)
	case h.Typeflag == tar.TypeReg && mode.IsRegular():
		return u.file(name, h, r)
	case h.Typeflag == tar.TypeSymlink:
		return u.link(name, h)
	case h.Typeflag == tar.TypeLink:
		return u.hardLink(name, h)
	case name == ".":
		return refuse(h.Name, fmt.Errorf("%s alone is not brought out", guesttree.KindOf(mode)))
	}
	return u.leave(name, guesttree.KindOf(mode))
}

// leave notes that an entry does not come. Its name is taken all the same.
func (u *unpacker) leave(name, why string) error {
	u.left.Leave(name, why)
	u.tree[name] = entry{kind: kindOther}
	return nil
}

// spend counts an entry against the bounds.
func (u *unpacker) spend(h *tar.Header, name string) error {
	cost := int64(0)
	if name != "." {
		cost = headerCost + int64(len(name)+len(h.Linkname))
	}
	if h.Typeflag != tar.TypeDir {
		cost += min(h.Size, math.MaxInt64/2)
	}
	return u.over(h.Name, u.budget.Spend(cost, len(name)+len(h.Linkname)))
}

// over makes a bound that was gone over an error about the entry that did.
func (u *unpacker) over(name string, err error) error {
	over, ok := errors.AsType[*tartree.ExceededError](err)
	switch {
	case !ok:
		return err
	case over.What == "bytes":
		return u.tooLarge(name)
	}
	return refuse(name, over)
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
		if err := u.over(raw, u.budget.Spend(headerCost, 0)); err != nil {
			return err
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
	if !guesttree.LinkStays(name, h.Linkname) {
		return u.leave(name, "a link that leads out of the tree")
	}
	u.tree[name] = entry{kind: kindLink, target: h.Linkname}
	return u.root.Symlink(h.Linkname, path.Join(stageName, name))
}

// hardLink writes a second name of a file as a file of its own: not every file system of a host has links, and none
// has any number of them.
func (u *unpacker) hardLink(name string, h *tar.Header) error {
	to, err := cleanName(h.Linkname)
	e := u.tree[to]
	if err != nil || e.kind != kindFile && e.kind != kindExec || to == "." {
		return refuse(h.Name, fmt.Errorf("it is a hard link to %q, which is no file that came before it", h.Linkname))
	}
	if err := u.over(h.Name, u.budget.Spend(e.size, 0)); err != nil {
		return err
	}
	from, err := u.root.Open(path.Join(stageName, to))
	if err != nil {
		return err
	}
	defer from.Close()
	if err := u.write(name, e.kind, &contextReader{u.ctx, from}, e.size); err != nil {
		return err
	}
	u.tree[name] = e
	return nil
}

func (u *unpacker) file(name string, h *tar.Header, r io.Reader) error {
	e := entry{kind: fileKind(fs.FileMode(h.Mode)), size: h.Size}
	sum := sha256.New()
	if err := u.write(name, e.kind, io.TeeReader(r, sum), e.size); err != nil {
		return err
	}
	sum.Sum(e.sum[:0])
	u.tree[name] = e
	return nil
}

// write makes a file of just that size, without what is all zero.
func (u *unpacker) write(name string, k kind, r io.Reader, size int64) error {
	perm := fs.FileMode(0o666)
	if k == kindExec {
		perm = 0o777
	}
	f, err := u.root.OpenFile(path.Join(stageName, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	defer f.Close()
	w := sparse.NewWriter(f)
	n, err := io.Copy(w, r)
	if err == nil {
		err = w.End()
	}
	if err != nil {
		return err
	}
	if n != size {
		return guesttree.Corrupt(io.ErrUnexpectedEOF)
	}
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
