package disk

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"microagent/runtime/disk/layer"
	"microagent/runtime/driver"
)

// source is a bundle's source: a directory, or a regular file with a tar in it.
type source struct {
	src   driver.BundleSource
	dir   bool
	tree  driver.Tree // the directory, held open
	state fs.FileInfo // of the state directory, which is never packed; nil when there is none yet
}

var errNoSource = fmt.Errorf("%w: neither a directory nor a regular file", driver.ErrInvalid)

func openSource(src driver.BundleSource, state string) (*source, error) {
	for _, pattern := range src.Exclude {
		if _, err := path.Match(pattern, ""); err != nil {
			return nil, fmt.Errorf("%w: exclude %q: %w", driver.ErrInvalid, pattern, err)
		}
	}
	st, err := src.Files.Stat(src.Path)
	if err != nil {
		return nil, err
	}
	if !st.IsDir() && !st.Mode().IsRegular() {
		return nil, errNoSource
	}
	s := &source{src: src, dir: st.IsDir()}
	if s.state, err = os.Stat(state); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if s.dir {
		if s.tree, err = src.Files.Sub(src.Path); err != nil {
			return nil, err
		}
		if st, err = s.tree.Stat("."); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	if err := s.refuseState(src.Path, st); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *source) close() error {
	if s.tree == nil {
		return nil
	}
	return s.tree.Close()
}

// refuseState refuses the state directory: it holds records with secrets, others' data and the bundle itself.
func (s *source) refuseState(name string, info fs.FileInfo) error {
	if s.state == nil || !isSameFile(s.state, info) {
		return nil
	}
	return &driver.Error{
		Class: driver.ErrRefused, Op: "pack", Object: name, Err: errors.New("it is microagent's state directory"),
		Next: "exclude: [" + path.Base(path.Clean(name)) + "], or a source without it",
	}
}

// read puts the source into tree and says what it was.
func (s *source) read(ctx context.Context, tree layer.Tree, p driver.Progress) (driver.BundleDigest, error) {
	taken := time.Now().UnixNano()
	h := newHasher()
	defer h.stop()
	marks := newMarks(s)
	var totals layer.Totals
	var err error
	if s.dir {
		h.text(directoryForm)
		totals, err = s.readDirectory(ctx, tree, h, marks, p)
	} else {
		h.text(tarForm)
		totals, err = s.readTar(ctx, tree, h, marks, p)
	}
	if err != nil {
		return driver.BundleDigest{}, err
	}
	return driver.BundleDigest{
		Fingerprint: driver.Fingerprint{
			Digest: "sha256:" + hex.EncodeToString(h.sum()),
			Stat:   marks.stat(totals),
			Taken:  taken,
		},
		Entries: totals.Entries,
		Bytes:   totals.Bytes,
	}, nil
}

// checkUnchanged says whether stat results alone prove that known still holds.
func (s *source) checkUnchanged(ctx context.Context, known driver.Fingerprint) (driver.BundleDigest, bool, error) {
	marks := newMarks(s)
	if s.dir {
		err := s.walk(ctx, func(e element) error { marks.add(e.rel, e.info); return nil })
		if err != nil {
			return driver.BundleDigest{}, false, err
		}
	} else {
		st, err := s.src.Files.Stat(s.src.Path)
		if err != nil {
			return driver.BundleDigest{}, false, err
		}
		marks.add("", st)
	}
	totals, ok := marks.holds(known)
	return driver.BundleDigest{Fingerprint: known, Entries: totals.Entries, Bytes: totals.Bytes}, ok, nil
}

// element is one thing below a directory source.
type element struct {
	rel  string // below the source, slash-separated; "" is the source itself
	info fs.FileInfo
	file int // the descriptor of what was opened, 0 for none
}

// walk visits what is below the directory, parents first and names in byte order.
func (s *source) walk(ctx context.Context, visit func(e element) error) error {
	return s.walkBelow(ctx, "", s.lookAt, visit)
}

// look sees what a name stands for; kind is what the folder says of it.
type look func(rel string, kind fs.FileMode) (element, error)

func (s *source) lookAt(rel string, _ fs.FileMode) (element, error) {
	info, err := s.tree.Lstat(rel)
	return element{rel: rel, info: info}, err
}

func (s *source) walkBelow(ctx context.Context, rel string, look look, visit func(e element) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	names, err := s.readNames(rel)
	if err != nil {
		return err
	}
	for _, name := range names {
		if s.excluded(name.Name) {
			continue
		}
		e, err := look(path.Join(rel, name.Name), name.Type)
		if errors.Is(err, driver.ErrGitFolder) { // under another name
			continue
		}
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("%w: %s went away while it was read", driver.ErrStale, path.Join(rel, name.Name))
			}
			return err
		}
		switch e.info.Mode().Type() {
		case 0, fs.ModeDir, fs.ModeSymlink:
		default:
			return &driver.Error{
				Class: driver.ErrInvalid, Op: "pack", Object: e.rel,
				Err:  fmt.Errorf("it is a %s; bundles hold files, directories and symlinks", kindOf(e.info.Mode())),
				Next: "exclude: [" + name.Name + "], or remove it",
			}
		}
		if err := s.refuseState(e.rel, e.info); err != nil {
			return err
		}
		if err := visit(e); err != nil {
			return err
		}
		if e.info.IsDir() {
			if err := s.walkBelow(ctx, e.rel, look, visit); err != nil {
				return err
			}
		}
	}
	return nil
}

func kindOf(m fs.FileMode) string {
	switch {
	case m&fs.ModeSocket != 0:
		return "socket"
	case m&fs.ModeNamedPipe != 0:
		return "FIFO"
	default:
		return "device"
	}
}

func (s *source) excluded(name string) bool {
	if strings.EqualFold(name, ".git") {
		return true
	}
	for _, pattern := range s.src.Exclude {
		if ok, _ := path.Match(pattern, name); ok {
			return true
		}
	}
	return false
}
