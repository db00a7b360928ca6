package image

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/schema/imageref"
)

// index is images/index.json: which name stands for which manifest. Who writes it holds the store's lock.
type index struct {
	Format int              `json:"format"`
	Images map[string]named `json:"images"`
}

// named is one name.
type named struct {
	Digest string `json:"digest"`
	// Source is what the file was when Digest was computed from it; only where that is costly.
	Source *driver.Fingerprint `json:"source,omitempty"`
}

func (s *Store) indexPath() string { return filepath.Join(s.state.Images(), "index.json") }

func (s *Store) readIndex() (index, error) {
	idx := index{Format: layout.Format}
	err := layout.ReadJSON(s.indexPath(), &idx)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return index{}, &driver.Error{
			Class: driver.ErrCorrupt, Op: "read", Object: s.indexPath(), Err: err,
			Next: "move the file away; images are pulled again when they are needed",
		}
	}
	if idx.Format > layout.Format {
		return index{}, &driver.Error{
			Class: driver.ErrUnsupported, Op: "read", Object: s.indexPath(),
			Err:  fmt.Errorf("it has format %d; this microagent knows format %d", idx.Format, layout.Format),
			Next: "use the microagent that wrote it, or a newer one",
		}
	}
	if idx.Images == nil {
		idx.Images = map[string]named{}
	}
	return idx, nil
}

func (x index) names() []string { return slices.Sorted(maps.Keys(x.Images)) }

func (x index) nameOf(digest string) string {
	for _, name := range x.names() {
		if x.Images[name].Digest == digest {
			return name
		}
	}
	return ""
}

// known gives the digest that a file had when its image was brought in, if it is the same file still.
func (x index) known(r imageref.Reference, files driver.Files) (string, bool) {
	e, ok := x.Images[keyOf(r, files)]
	if !ok || e.Source == nil || files == nil {
		return "", false
	}
	fi, err := files.Stat(r.Path)
	if err != nil {
		return "", false
	}
	stat, changed := fingerprint(fi)
	return e.Digest, stat == e.Source.Stat && settled(*e.Source, changed)
}

// settled says whether a fingerprint tells all changes: a file that was written just before it was read can
// change again within one tick of its clock.
func settled(f driver.Fingerprint, changed int64) bool {
	return f.Taken-changed > int64(2*time.Second)
}

// says tells whether e makes writing the new entry n unnecessary. It is asked after the file was read, so that
// a fingerprint which is the same and was not trusted is written again.
func (e named) says(n named) bool {
	return e.Digest == n.Digest && (n.Source == nil || e.Source != nil && *e.Source == *n.Source)
}

// fingerprint gives the stat results that tell a changed file, and when it last changed.
func fingerprint(fi fs.FileInfo) (stat string, changed int64) {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return "", 0
	}
	changed = max(st.Ctim.Nano(), st.Mtim.Nano())
	return fmt.Sprintf("%d %d %d %d %d", st.Size, st.Mtim.Nano(), st.Ctim.Nano(), st.Ino, st.Dev), changed
}

// set gives digest the name. A registry's tag that stood for another image leaves that one as NAME@DIGEST, so
// that what records rest on stays until someone removes it; a file that changed leaves nothing.
func (x index) set(r imageref.Reference, key string, e named) {
	old, ok := x.Images[key]
	x.Images[key] = e
	if !ok || old.Digest == e.Digest || r.Kind != imageref.Registry || x.nameOf(old.Digest) != "" {
		return
	}
	repository, _, _ := strings.Cut(key, "@")
	if i := strings.LastIndexByte(repository, ':'); i > strings.LastIndexByte(repository, '/') {
		repository = repository[:i]
	}
	x.Images[repository+"@"+old.Digest] = named{Digest: old.Digest}
}
