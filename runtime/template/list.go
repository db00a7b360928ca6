package template

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"microagent/runtime/layout"
)

// Saved is a template as it is listed.
type Saved struct {
	Key     string
	Shape   Shape
	Created time.Time
	Bytes   int64 // on the disk
	Usable  bool  // what it was made of is there and the same
}

// List gives the templates, the newest first. One that can't be read is listed as not usable.
func (s Store) List() ([]Saved, error) {
	entries, err := os.ReadDir(s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []Saved
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), draftPrefix) {
			continue
		}
		t := Saved{Key: e.Name(), Bytes: taken(filepath.Join(s.Dir, e.Name()))}
		var r record
		if layout.ReadJSON(filepath.Join(s.Dir, e.Name(), recordFile), &r) == nil {
			t.Shape, t.Created = r.Shape, r.Created
			t.Usable = r.Shape.Key() == e.Name() && r.Shape.stands()
		}
		list = append(list, t)
	}
	slices.SortStableFunc(list, func(a, b Saved) int { return b.Created.Compare(a.Created) })
	return list, nil
}

// stands says whether the files that a shape names are the ones that it was made of.
func (s Shape) stands() bool {
	for _, f := range []File{s.Kernel, s.Initramfs, s.Program} {
		if now, err := Identify(f.Path); err != nil || now != f {
			return false
		}
	}
	return true
}

// taken is what a folder's files take of the disk, in bytes.
func taken(dir string) int64 {
	var sum int64
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			sum += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
	}
	return sum
}

// most is how many templates are kept. A machine has few shapes, and each takes some 80 MiB.
const most = 8

// replace removes what a new template makes useless: those that can fit nothing any more, and the oldest above a number.
func (s Store) replace(by Shape) error {
	list, err := s.List()
	if err != nil {
		return err
	}
	kept := 0
	for _, t := range list {
		same := t.Shape.CPUs == by.CPUs && t.Shape.Memory == by.Memory && t.Shape.VMM == by.VMM && t.Shape.Kernel.Path == by.Kernel.Path
		if t.Key == by.Key() {
			continue
		}
		if t.Usable && !same && kept < most-1 {
			kept++
			continue
		}
		err = errors.Join(err, s.Remove(t.Key))
	}
	return err
}

// Prune removes templates that no start of this tool on this boot of the host can use, and gives what they took; with dry it
// removes none. kept are those that stay.
func (s Store) Prune(tool, host string, dry bool) (gone, kept []Saved, err error) {
	list, err := s.List()
	if err != nil {
		return nil, nil, err
	}
	for _, t := range list {
		if t.Usable && t.Shape.Tool == tool && t.Shape.Host == host {
			kept = append(kept, t)
			continue
		}
		gone = append(gone, t)
		if !dry {
			err = errors.Join(err, s.Remove(t.Key))
		}
	}
	if !dry {
		if swept := s.alone(func() error { s.sweep(); return nil }); !errors.Is(swept, fs.ErrNotExist) {
			err = errors.Join(err, swept)
		}
	}
	return gone, kept, err
}
