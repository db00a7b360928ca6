package transfer

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"microagent/runtime/disk/sparse"
	"microagent/runtime/driver"
	"microagent/runtime/guesttree"
)

// Source is what a copy takes from the host: a file, a directory, or a stream.
type Source struct {
	op   string
	path string
	out  *driver.Copied
	// Top is its entry. The size of a stream is -1, and its mode is 0644.
	Top Entry
	// Base is the name under which it comes into a directory; "" of a stream.
	Base   string
	stream io.Reader
	links  map[fileID]string // names of files that have others, as they were walked
}

// fileID tells files of the host apart.
type fileID struct{ dev, ino uint64 }

// NewSource looks at what is to be copied.
func NewSource(op string, end driver.HostEnd, recursive bool, out *driver.Copied) (*Source, error) {
	if end.Path == "" {
		return &Source{op: op, out: out, stream: end.Reader, Top: Entry{Name: ".", Mode: 0o644, Size: -1}}, nil
	}
	st, err := os.Stat(end.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, problem(driver.ErrNotFound, op, end.Path, "", "there is no such file on the host")
	case errors.Is(err, unix.ENOTDIR):
		return nil, problem(driver.ErrInvalid, op, end.Path, "", "it is no directory")
	case err != nil:
		return nil, wrap(op, end.Path, err)
	case st.IsDir() && !recursive:
		return nil, problem(driver.ErrInvalid, op, end.Path, "use -r to copy a directory", "it is a directory")
	case !st.IsDir() && !st.Mode().IsRegular():
		return nil, problem(driver.ErrInvalid, op, end.Path, "use - for a stream", "it is %s; only regular files and directories are copied", guesttree.KindOf(st.Mode()))
	}
	base := Base(end.Path)
	if base == "." || base == ".." {
		if base = "."; !strings.HasSuffix(end.Path, "/.") && end.Path != "/" {
			abs, err := filepath.Abs(end.Path)
			if err != nil {
				return nil, wrap(op, end.Path, err)
			}
			if end.Path != "." {
				base = filepath.Base(abs)
			}
		}
	}
	s := &Source{op: op, path: end.Path, out: out, Top: entryOf(".", st), Base: base}
	if st.IsDir() {
		s.path += "/" // WalkDir follows no symlink, unless it is told that it leads to a directory
	}
	return s, nil
}

func entryOf(name string, st fs.FileInfo) Entry {
	return Entry{Name: name, Mode: st.Mode(), Time: st.ModTime(), Size: st.Size()}
}

// Walk gives every entry, directories before what is in them; content is there for regular files, those too that are
// links to earlier ones. What can't be copied is left out and noted.
func (s *Source) Walk(ctx context.Context, visit func(e Entry, content io.Reader) error) error {
	s.links = map[fileID]string{}
	if s.stream != nil {
		return visit(s.Top, reader{ctx, s.stream})
	}
	return filepath.WalkDir(s.path, func(path string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return wrap(s.op, path, err)
		}
		name, err := filepath.Rel(s.path, path)
		if err != nil {
			return wrap(s.op, path, err)
		}
		if name == "." {
			if s.Top.Mode.IsRegular() {
				return s.file(ctx, path, s.Top, 0, visit)
			}
			return visit(s.Top, nil)
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it went while we walked
		}
		if err != nil {
			return wrap(s.op, path, err)
		}
		e := entryOf(name, info)
		switch {
		case e.Mode.IsDir():
			return visit(e, nil)
		case e.Mode.IsRegular():
			return s.file(ctx, path, e, unix.O_NOFOLLOW, visit)
		case e.Mode&fs.ModeSymlink != 0:
			if e.Target, err = os.Readlink(path); err != nil {
				return wrap(s.op, path, err)
			}
			return visit(e, nil)
		}
		s.out.Leave(name, guesttree.KindOf(e.Mode))
		return nil
	})
}

func (s *Source) file(ctx context.Context, path string, e Entry, flags int, visit func(e Entry, content io.Reader) error) error {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|flags, 0)
	if err != nil {
		return wrap(s.op, path, err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return wrap(s.op, path, err)
	}
	if !st.Mode().IsRegular() {
		return problem(driver.ErrInvalid, s.op, path, "", "it became %s while it was copied", guesttree.KindOf(st.Mode()))
	}
	e.Size = st.Size()
	if sys, ok := st.Sys().(*syscall.Stat_t); ok && sys.Nlink > 1 {
		id := fileID{sys.Dev, sys.Ino}
		if e.Link = s.links[id]; e.Link == "" {
			s.links[id] = e.Name
		}
	}
	return visit(e, sparse.New(ctx, f, st))
}

// reader ends with its context.
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
