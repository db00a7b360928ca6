package layer

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/driver"
	"microagent/runtime/tartree"
)

const (
	whiteout = ".wh."
	opaque   = ".wh..wh..opq"
	aufs     = ".wh..wh."     // marks of aufs that mean nothing to others
	plnk     = ".wh..wh.plnk" // where aufs keeps files that have several names; what is in it is there for hard links only
)

// walker puts tars into a tree.
type walker struct {
	tree     Tree
	limits   Limits
	progress driver.Progress
	image    bool
	marks    bool // names like whiteouts hide what lower layers have
	layer    int
	totals   Totals
	budget   *tartree.Budget
	read     int64            // bytes of the tars
	pending  []link           // hard links whose target this layer had not put there yet
	waiting  map[string]int   // index into pending by path
	lower    map[string][]int // those of pending that are made, with what lower layers have, by target
	plinks   bool             // there is something in the directory plnk
}

type link struct {
	path, target, entry string
	dead                bool // a later entry has its path
	made                bool
}

// counter tells what the tar reader took; it is what the tar reader reads from.
type counter struct {
	io.Reader
	tell func(n int64)
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.tell(int64(n))
	return n, err
}

func (w *walker) fail(entry string, err error) error {
	return &Error{Layer: w.layer, Entry: entry, Err: err}
}

// apply reads one tar to its end, and what follows the end mark too: a source may check a digest there.
func (w *walker) apply(ctx context.Context, r io.Reader) error {
	const step = 4 << 20
	w.pending, w.waiting, w.lower, w.plinks = nil, map[string]int{}, map[string][]int{}, false
	c := &counter{Reader: r}
	c.tell = func(n int64) {
		if w.read/step != (w.read+n)/step {
			w.progress.Report("unpack", w.read+n, 0)
		}
		w.read += n
	}
	mark := int64(tartree.OneBlock)
	if w.image {
		mark = tartree.NoMark
	}
	t := tartree.NewReader(c, tartree.Options{EndMark: mark})
	plain := io.Reader(struct{ io.Reader }{t})
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		hdr, err := t.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return w.fail("", err)
		}
		content, size := plain, hdr.Size
		if t.Sparse() { // what reads a content with holes asks for each
			content, size = t, t.Data(hdr)
		}
		if err := w.entry(hdr, content, size); err != nil {
			return w.fail(hdr.Name, err)
		}
	}
	if err := w.resolve(); err != nil {
		return err
	}
	if w.plinks {
		if err := w.tree.Remove(plnk); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return w.fail(plnk, err)
		}
	}
	if err := t.Drain(); err != nil {
		return w.fail("", err)
	}
	return nil
}

// clean gives an entry's path in the tree.
func (w *walker) clean(name string) (string, error) {
	if len(name) > w.limits.Path {
		return "", fmt.Errorf("%w: path is longer than %d bytes", driver.ErrInvalid, w.limits.Path)
	}
	if w.image {
		return tartree.Clean(name), nil
	}
	return tartree.Strict(name)
}

// entry applies one, whose content has size bytes besides its holes.
func (w *walker) entry(hdr *tar.Header, r io.Reader, size int64) error {
	w.totals.Entries++
	content := int64(0)
	if tartree.IsFile(hdr) {
		content = size
	}
	if err := w.budget.Spend(content, tartree.Text(hdr)); err != nil {
		return fmt.Errorf("%w: %w", driver.ErrInvalid, err)
	}
	name, err := w.clean(hdr.Name)
	if err != nil {
		return err
	}
	if done, err := w.applyWhiteout(name); done || err != nil {
		return err
	}
	if i, ok := w.waiting[name]; ok {
		w.pending[i].dead = true
		delete(w.waiting, name)
	}
	if len(w.lower) > 0 {
		w.unmake(name)
	}
	attr, err := w.parseAttributes(hdr)
	if err != nil {
		return err
	}
	if tartree.IsFile(hdr) {
		w.totals.Bytes += hdr.Size
		return w.tree.File(name, attr, hdr.Size, r)
	}
	switch hdr.Typeflag {
	case tar.TypeDir:
		return w.tree.Mkdir(name, attr)
	case tar.TypeSymlink:
		return w.tree.Symlink(name, hdr.Linkname, attr)
	case tar.TypeLink:
		return w.makeHardlink(name, hdr)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return w.makeDevice(name, hdr, attr)
	}
	return fmt.Errorf("%w: tar entry of type %q", driver.ErrUnsupported, hdr.Typeflag)
}

// applyWhiteout handles whiteouts and opaque marks, and says whether name was one.
func (w *walker) applyWhiteout(name string) (bool, error) {
	if !w.marks {
		return false, nil
	}
	if strings.HasPrefix(name, plnk+"/") {
		w.plinks = true
		return false, nil
	}
	if strings.HasPrefix(name, aufs) && name != opaque {
		return true, nil
	}
	dir, base := path.Split(name)
	if !strings.HasPrefix(base, whiteout) {
		return false, nil
	}
	switch hidden := base[len(whiteout):]; {
	case base == opaque:
		return true, w.tree.Opaque(dir)
	case strings.HasPrefix(base, aufs):
		return true, nil
	case hidden == "" || hidden == "." || hidden == "..":
		return true, fmt.Errorf("%w: whiteout of nothing", driver.ErrInvalid)
	default:
		return true, w.tree.Whiteout(dir + hidden)
	}
}

func (w *walker) makeDevice(name string, hdr *tar.Header, attr ext4.Attr) error {
	if !w.image {
		return fmt.Errorf("%w: devices and FIFOs have no place in a bundle", driver.ErrInvalid)
	}
	if hdr.Devmajor < 0 || hdr.Devmajor > 0xFFF || hdr.Devminor < 0 || hdr.Devminor > 0xFFFFF {
		return fmt.Errorf("%w: device number %d:%d", driver.ErrInvalid, hdr.Devmajor, hdr.Devminor)
	}
	kind := map[byte]uint32{tar.TypeChar: ext4.ModeChar, tar.TypeBlock: ext4.ModeBlock, tar.TypeFifo: ext4.ModeFIFO}[hdr.Typeflag]
	return w.tree.Device(name, kind, uint32(hdr.Devmajor), uint32(hdr.Devminor), attr)
}

func (w *walker) makeHardlink(name string, hdr *tar.Header) error {
	target, err := w.clean(hdr.Linkname)
	if err != nil {
		return fmt.Errorf("hard link to %q: %w", hdr.Linkname, err)
	}
	_, late := w.waiting[target]
	late = late || !w.tree.Own(target)
	err = w.tree.Link(name, target)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if late || err != nil {
		i := len(w.pending)
		w.waiting[name] = i
		w.pending = append(w.pending, link{path: name, target: target, entry: hdr.Name, made: err == nil})
		if err == nil {
			w.lower[target] = append(w.lower[target], i)
		}
	}
	return nil
}

// unmake lets the links that were made to what lower layers have at name, and the links to those, wait for what this
// layer has there.
func (w *walker) unmake(name string) {
	for work := []string{name}; len(work) > 0; {
		at := work[len(work)-1]
		work = work[:len(work)-1]
		for _, i := range w.lower[at] {
			if l := &w.pending[i]; !l.dead && l.made {
				l.made = false
				work = append(work, l.path)
			}
		}
		delete(w.lower, at)
	}
}

// rounds is how often what is left of the pending hard links is gone through. Chains of links in whatever order take
// one; only those that lead through symlinks to other links take more.
const rounds = 40

// resolve makes the hard links whose target came after them, chains of them included.
func (w *walker) resolve() error {
	wanted := map[string][]int{} // pending by target
	for i, l := range w.pending {
		wanted[l.target] = append(wanted[l.target], i)
	}
	for range rounds {
		progress := false
		for i := range w.pending {
			made, err := w.follow(i, wanted)
			if err != nil {
				return err
			}
			progress = progress || made
		}
		if !progress {
			break
		}
	}
	for _, l := range w.pending {
		if !l.dead && !l.made {
			return w.fail(l.entry, fmt.Errorf("%w: hard link to %q, which is not there", driver.ErrInvalid, l.target))
		}
	}
	return nil
}

// follow makes pending link i if its target is there, and then those that waited for it.
func (w *walker) follow(i int, wanted map[string][]int) (made bool, err error) {
	for work := []int{i}; len(work) > 0; {
		l := &w.pending[work[len(work)-1]]
		work = work[:len(work)-1]
		if l.dead || l.made {
			continue
		}
		if j, ok := w.waiting[l.target]; ok && !w.pending[j].made {
			continue // what is there is of a lower layer
		}
		err := w.tree.Link(l.path, l.target)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return made, w.fail(l.entry, err)
		}
		l.made, made = true, true
		work = append(work, wanted[l.path]...)
	}
	return made, nil
}
