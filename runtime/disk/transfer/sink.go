package transfer

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"microagent/runtime/disk/sparse"
	"microagent/runtime/driver"
	"microagent/runtime/filetime"
	"microagent/runtime/guesttree"
	"microagent/runtime/tartree"
)

// Sink writes a copy on the host, beneath one open folder.
type Sink struct {
	root   *os.Root // the folder that the copy comes into
	folder string   // its path
	name   string   // of the copy in it; "." when it is merged into the folder
	tree   bool
	out    *driver.Copied
	later  []Entry // directories: what is written into them changes their times
	// What was written so far, by entry: nothing is written below anything but one of these directories, and nothing
	// is linked to but one of these files, so that no link that came with the copy is ever followed.
	dirs, files map[string]bool
	budget      *tartree.Budget
}

// What a copy may have, whatever disk or guest it comes from: its names are kept in memory to its end.
const (
	maxEntries = 2 << 20
	maxText    = 256 << 20
)

// NewSink finds out where on the host a copy goes: a directory takes it under the name base, and tree says whether
// it is a directory itself. Nothing is written yet.
func NewSink(to, base string, tree bool, out *driver.Copied) (*Sink, error) {
	folder, name, err := landing(to, base, tree)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, wrap(opIn, to, err)
	}
	out.To = filepath.Join(folder, name)
	return &Sink{root: root, folder: folder, name: name, tree: tree, out: out, dirs: map[string]bool{}, files: map[string]bool{},
		budget: tartree.NewBudget(tartree.Limits{Bytes: math.MaxInt64, Entries: maxEntries, Text: maxText})}, nil
}

func landing(to, base string, tree bool) (folder, name string, err error) {
	st, err := os.Stat(to)
	switch {
	case err == nil && st.IsDir():
		if base == "." {
			return to, ".", nil
		}
		if in, err := os.Stat(filepath.Join(to, base)); err == nil && in.IsDir() != tree {
			return "", "", problem(driver.ErrInvalid, opIn, filepath.Join(to, base), "move it away, or name another destination",
				"%s is there under this name", guesttree.KindOf(in.Mode()))
		}
		return to, base, nil
	case err == nil && strings.HasSuffix(to, "/"), errors.Is(err, unix.ENOTDIR):
		return "", "", problem(driver.ErrInvalid, opIn, to, "leave the slash at its end away to replace the file", "it is no directory")
	case err == nil && tree:
		return "", "", problem(driver.ErrInvalid, opIn, to, "name another destination", "it is a file, and a directory can't take its place")
	case err == nil && !st.Mode().IsRegular():
		return "", "", problem(driver.ErrInvalid, opIn, to, "use - for stdout", "it is %s", guesttree.KindOf(st.Mode()))
	case err == nil:
		real, err := filepath.EvalSymlinks(to)
		if err != nil {
			return "", "", wrap(opIn, to, err)
		}
		return filepath.Dir(real), filepath.Base(real), nil
	case !errors.Is(err, fs.ErrNotExist):
		return "", "", wrap(opIn, to, err)
	}
	if _, err := os.Lstat(strings.TrimRight(to, "/")); err == nil {
		return "", "", problem(driver.ErrInvalid, opIn, to, "remove it first", "it is a symlink that leads nowhere")
	}
	if strings.HasSuffix(to, "/") && !tree {
		return "", "", problem(driver.ErrNotFound, opIn, to, "mkdir "+to, "there is no such directory")
	}
	folder, name = filepath.Dir(filepath.Clean(to)), filepath.Base(to)
	if st, err := os.Stat(folder); err != nil || !st.IsDir() {
		return "", "", problem(driver.ErrNotFound, opIn, to, "mkdir -p "+folder, "there is no directory %s", folder)
	}
	return folder, name, nil
}

// Close ends the sink. What was written stays.
func (s *Sink) Close() error { return s.root.Close() }

// Path is where an entry goes, in words.
func (s *Sink) Path(name string) string { return filepath.Join(s.folder, s.name, name) }

func (s *Sink) at(name string) string { return path.Join(s.name, name) }

// Add writes an entry; content is read for a regular file that is no link. What must not come to the host is
// left out and noted.
func (s *Sink) Add(ctx context.Context, e Entry, content io.Reader) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.budget.Spend(0, len(e.Name)+len(e.Target)+len(e.Link)); err != nil {
		return problem(driver.ErrRefused, opIn, s.Path("."), "copy a part of it", "%w", err)
	}
	if !filepath.IsLocal(e.Name) {
		return problem(driver.ErrRefused, opIn, s.Path("."), "", "the guest names a file %q", e.Name)
	}
	if depth := strings.Count(e.Name, "/"); depth > maxDepth { // each is walked for every entry below it
		return problem(driver.ErrRefused, opIn, s.Path("."), "copy a part of it", "it has directories more than %d deep", maxDepth)
	}
	if e.Name != "." && !s.dirs[path.Dir(e.Name)] {
		return problem(driver.ErrRefused, opIn, s.Path("."), "", "the guest names a file %q below what is no directory", e.Name)
	}
	var err error
	switch {
	case e.Mode.IsDir():
		err = s.directory(e)
		s.dirs[e.Name] = err == nil
	case e.Link != "":
		if !s.files[e.Link] {
			return problem(driver.ErrRefused, opIn, s.Path("."), "", "the guest links to %q, which is no file of the copy", e.Link)
		}
		err = s.replace(e, func(temp string) error { return s.root.Link(s.at(e.Link), temp) })
		s.out.Files++
	case e.Mode.IsRegular():
		err = s.replace(e, func(temp string) error { return s.file(ctx, temp, e, content) })
		s.out.Files++
	case e.Mode&fs.ModeSymlink != 0 && !guesttree.LinkStays(e.Name, e.Target):
		s.out.Leave(e.Name, "a link that leads out of the copy")
	case e.Mode&fs.ModeSymlink != 0:
		err = s.replace(e, func(temp string) error { return s.root.Symlink(e.Target, temp) })
	default:
		s.out.Leave(e.Name, guesttree.KindOf(e.Mode))
	}
	if strings.EqualFold(path.Base(e.Name), ".git") {
		s.out.NoteGit(e.Name)
	}
	s.files[e.Name] = err == nil && (e.Link != "" || e.Mode.IsRegular())
	if err != nil && ctx.Err() == nil {
		return wrap(opIn, s.Path(e.Name), err)
	}
	return err
}

func (s *Sink) directory(e Entry) error {
	s.later = append(s.later, e)
	err := s.root.Mkdir(s.at(e.Name), 0o700)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	st, err := s.root.Lstat(s.at(e.Name))
	if err == nil && !st.IsDir() {
		err = problem(driver.ErrInvalid, opIn, s.Path(e.Name), "move it away", "%s is where a directory is to be", guesttree.KindOf(st.Mode()))
	}
	return err
}

// replace makes an entry under a temporary name and renames it.
func (s *Sink) replace(e Entry, fill func(temp string) error) error {
	to := s.at(e.Name)
	if st, err := s.root.Lstat(to); err == nil && st.IsDir() {
		return problem(driver.ErrInvalid, opIn, s.Path(e.Name), "move it away", "a directory is where a file is to be")
	}
	var b [6]byte
	_, _ = rand.Read(b[:])
	temp := path.Join(path.Dir(to), ".microagent-"+hex.EncodeToString(b[:]))
	err := fill(temp)
	if err == nil {
		err = s.root.Rename(temp, to)
	}
	if err != nil {
		if gone := s.root.Remove(temp); !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
	}
	return err
}

func (s *Sink) file(ctx context.Context, temp string, e Entry, content io.Reader) error {
	f, err := s.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	n, err := fill(ctx, f, content)
	s.out.Bytes += n
	if err != nil {
		return err
	}
	if err := f.Chmod(e.Mode & fs.ModePerm); err != nil {
		return err
	}
	if err := filetime.Set(s.root, temp, e.Time); err != nil || s.tree {
		return err // Finish brings a tree to the disk
	}
	return f.Sync()
}

// Finish gives directories their modes and times and brings everything to the host's disk.
func (s *Sink) Finish() error {
	for i := len(s.later) - 1; i >= 0; i-- {
		e := s.later[i]
		if s.name == "." && e.Name == "." {
			continue // the folder is the user's
		}
		err := filetime.Set(s.root, s.at(e.Name), e.Time)
		if err == nil {
			err = s.root.Chmod(s.at(e.Name), e.Mode&fs.ModePerm)
		}
		if err != nil {
			return wrap(opIn, s.Path(e.Name), err)
		}
	}
	d, err := os.Open(s.folder)
	if err != nil {
		return wrap(opIn, s.folder, err)
	}
	defer d.Close()
	if s.tree {
		err = unix.Syncfs(int(d.Fd()))
	} else {
		err = d.Sync()
	}
	return wrap(opIn, s.folder, err)
}

const (
	piece     = 1 << 20
	writeback = 8 << 20
)

// fill writes content to an empty file, with its holes. It asks the kernel early to start writing.
func fill(ctx context.Context, f *os.File, content io.Reader) (int64, error) {
	holes, _ := content.(sparse.Reader)
	b := make([]byte, piece)
	at, begun := int64(0), int64(0)
	for {
		if err := ctx.Err(); err != nil {
			return at, err
		}
		if holes != nil {
			n, err := holes.Skip()
			if err != nil {
				return at, err
			}
			at += n
		}
		n, err := content.Read(b)
		// A stream has no holes any more: what is all zero is taken for one.
		if n > 0 && (holes != nil || len(bytes.TrimLeft(b[:n], "\x00")) > 0) {
			if _, err := f.WriteAt(b[:n], at); err != nil {
				return at, err
			}
		}
		at += int64(n)
		if at-begun >= writeback {
			_ = unix.SyncFileRange(int(f.Fd()), begun, at-begun, unix.SYNC_FILE_RANGE_WRITE)
			begun = at
		}
		if errors.Is(err, io.EOF) {
			return at, f.Truncate(at)
		}
		if err != nil {
			return at, fmt.Errorf("read: %w", err)
		}
	}
}
