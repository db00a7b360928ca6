// Package layer turns tar layers into one file tree.
//
// Layers are applied from the lowest to the highest: a path's parents are resolved through the symlinks that
// are there by then, inside the tree. Whiteouts and opaque marks hide what lower layers put there and nothing
// else, in whatever order a layer has them; of entries that name the same path the last one wins. A hard link is to
// what its own layer has at the target, before or after it, and else to what lower layers have. Nothing can leave the tree, and the limits hold
// for whatever a layer claims. Every error names the layer and the entry. runtime/disk imports this package.
package layer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"

	"golang.org/x/sys/unix"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/driver"
	"microagent/runtime/tartree"
)

// Tree receives what layers hold; *ext4.Builder is one. Paths are clean and relative.
type Tree interface {
	NextLayer()
	Mkdir(path string, attr ext4.Attr) error
	File(path string, attr ext4.Attr, size int64, r io.Reader) error
	Symlink(path, target string, attr ext4.Attr) error
	Link(path, target string) error
	Device(path string, kind, major, minor uint32, attr ext4.Attr) error
	Whiteout(path string) error
	Opaque(path string) error
	// Remove takes path away with all below it; fs.ErrNotExist when it is not there.
	Remove(path string) error
	// Own says whether this layer put something at path.
	Own(path string) bool
}

// Limits bound what layers may hold, as a tartree.Budget counts it. Zero values stand for the defaults.
type Limits struct {
	Entries int   // in all layers; 2,000,000
	Path    int   // bytes of one path; 4096
	Names   int64 // bytes of all names, link targets and extended attributes; 512 MiB
	Bytes   int64 // of all files, without the holes that a tar says they have; 1 TiB
}

func (l Limits) withDefaults() Limits {
	if l.Entries == 0 {
		l.Entries = 2_000_000
	}
	if l.Path == 0 {
		l.Path = 4096
	}
	if l.Names == 0 {
		l.Names = 512 << 20
	}
	if l.Bytes == 0 {
		l.Bytes = 1 << 40
	}
	return l
}

func (l Limits) budget() *tartree.Budget {
	return tartree.NewBudget(tartree.Limits{Entries: l.Entries, Text: l.Names, Bytes: l.Bytes})
}

// Error says where in the layers something went wrong.
type Error struct {
	Layer int    // from 0; -1 for a tar that stands alone
	Entry string // as the tar writes it; "" between entries
	Err   error
}

func (e *Error) Error() string {
	var where string
	if e.Layer >= 0 {
		where = fmt.Sprintf("layer %d: ", e.Layer)
	}
	if e.Entry != "" {
		where += fmt.Sprintf("entry %q: ", e.Entry)
	}
	return where + e.Err.Error()
}

// Unwrap gives the reason.
func (e *Error) Unwrap() error { return e.Err }

// Is gives the reason's class.
func (e *Error) Is(target error) bool {
	switch target {
	case driver.ErrNoSpace:
		return errors.Is(e.Err, unix.ENOSPC) || errors.Is(e.Err, unix.EDQUOT)
	case driver.ErrInvalid:
		return errors.Is(e.Err, ext4.ErrInvalid)
	}
	return false
}

// Totals say what was applied.
type Totals struct {
	Entries int
	Bytes   int64 // of regular files
}

// Apply puts an image's layers into tree, the lowest first. Several layers are decoded at a time, as far ahead
// as the window allows.
func Apply(ctx context.Context, tree Tree, layers driver.Layers, limits Limits, p driver.Progress) (Totals, error) {
	ctx, cancel := context.WithCancel(ctx)
	decoders, window := min(runtime.GOMAXPROCS(0), layers.Len(), totalWindow/layerWindow), layerWindow
	if layers.Len() == 1 {
		window = loneWindow
	}
	var open []*Ahead
	defer func() {
		cancel()
		for _, a := range open {
			a.Close()
		}
	}()
	w := walker{tree: tree, limits: limits.withDefaults(), budget: limits.withDefaults().budget(), progress: p, image: true}
	for i, started := 0, 0; i < layers.Len(); i++ {
		for ; started < layers.Len() && started < i+decoders; started++ {
			n := started
			open = append(open, ReadAhead(ctx, window, func() (io.ReadCloser, error) { return layers.Open(ctx, n) }))
		}
		w.layer, w.marks = i, layers.Whiteouts(i)
		if err := w.apply(ctx, open[i]); err != nil {
			return w.totals, err
		}
		open[i].Close()
		tree.NextLayer()
	}
	return w.totals, nil
}

// Tar puts a tar that stands alone into tree. It is stricter than Apply: absolute names, "..", devices and
// FIFOs are refused, and a missing end mark is ErrCorrupt; names like whiteouts mean nothing.
func Tar(ctx context.Context, tree Tree, r io.Reader, limits Limits, p driver.Progress) (Totals, error) {
	w := walker{tree: tree, limits: limits.withDefaults(), budget: limits.withDefaults().budget(), progress: p, layer: -1}
	err := w.apply(ctx, r)
	return w.totals, err
}
