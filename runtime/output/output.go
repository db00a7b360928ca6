// Package output brings trees that came out of guests to the host. What a guest wrote is hostile: every
// name is opened beneath an os.Root, devices, fifos, sockets, links that lead out of the tree and, unless they are
// asked for, git folders are left out and noted, owners, times and setuid bits are dropped, bytes, entries and names
// are bounded.
//
// A tree appears under its name whole or not at all, and one that is there already with the same content is
// not touched. Nothing outside the target's root is ever read or written.
package output

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"

	"microagent/runtime/driver"
)

// DefaultLimit holds where a caller gives no limit, in bytes.
const DefaultLimit int64 = 1 << 30

// Store is driver.Outputs. It has no state of its own.
type Store struct{}

var _ driver.Outputs = (*Store)(nil)

// New gives the store.
func New() *Store { return &Store{} }

// Digest is that of the tree at t; see tree.digest for its form.
func (s *Store) Digest(ctx context.Context, t driver.Target) (string, error) {
	const op = "read output"
	tr, err := s.scan(ctx, t, nil)
	if err != nil {
		return "", targetError(op, t, err)
	}
	return tr.digest(), nil
}

// Tar writes the tree at t as a tar stream: entries sorted, owner 0, no times, mode 0644 or 0755.
func (s *Store) Tar(ctx context.Context, t driver.Target, w io.Writer) error {
	const op = "read output"
	p := newPacker(w)
	if _, err := s.scan(ctx, t, p); err != nil {
		return targetError(op, t, err)
	}
	return targetError(op, t, p.close())
}

func (s *Store) scan(ctx context.Context, t driver.Target, p *packer) (tree, error) {
	parent, base, err := enter(t, false)
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	return scan(ctx, parent, base, p)
}

// Publish reads a tar stream and puts its tree at t.
func (s *Store) Publish(ctx context.Context, stream io.Reader, t driver.Target, how driver.Publishing) (driver.Fetched, error) {
	const op = "write output"
	if how.Limit <= 0 {
		how.Limit = DefaultLimit
	}
	got, err := publish(ctx, stream, t, how)
	if err != nil {
		return driver.Fetched{}, targetError(op, t, err)
	}
	return got, nil
}

func publish(ctx context.Context, stream io.Reader, t driver.Target, how driver.Publishing) (driver.Fetched, error) {
	parent, base, err := enter(t, true)
	if err != nil {
		return driver.Fetched{}, err
	}
	defer parent.Close()
	if err := sweep(parent, base); err != nil {
		return driver.Fetched{}, err
	}
	there, err := parent.Lstat(base)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return driver.Fetched{}, err
	}
	if there != nil && !there.Mode().IsRegular() && !there.IsDir() && there.Mode().Type() != fs.ModeSymlink {
		return driver.Fetched{}, &driver.Error{
			Class: driver.ErrRefused, Op: "replace", Object: t.Path,
			Err: errors.New("it is neither a file nor a directory"), Next: "move it away, or name another target",
		}
	}
	stage, err := newStage(parent, base)
	if err != nil {
		return driver.Fetched{}, err
	}
	defer stage.close()
	tr, got, err := unpack(ctx, stream, stage.root, how.Limit)
	if err != nil {
		return driver.Fetched{}, err
	}
	got.Path = t.Path
	if tr, err = choose(stage.root, tr, how.Git, &got); err != nil {
		return driver.Fetched{}, err
	}
	got.Files, got.Bytes = tr.files()
	if there != nil {
		old, err := scan(ctx, parent, base, nil)
		if err == nil && old.digest() == got.Whole() {
			return got, nil
		}
		if err := ctx.Err(); err != nil {
			return driver.Fetched{}, err
		}
	}
	return got, stage.publish(tr)
}

// choose takes the git folders out of the tree in root, unless they are wanted, and notes the digests of what stays.
func choose(root *os.Root, tr tree, git bool, got *driver.Fetched) (tree, error) {
	found := tr.gitFolders()
	rest := tr.without(found)
	if len(rest) > 0 {
		got.Digest = rest.digest()
	}
	switch {
	case len(found) == 0:
		return tr, nil
	case git:
		got.WithGit = tr.digest()
		return tr, nil
	case len(rest) == 0:
		return nil, &driver.Error{
			Class: driver.ErrRefused, Op: "bring out", Object: "the tree",
			Err: errors.New("all of it is a git folder, and git runs what the configuration in one says"), Next: "say --allow-git if you trust the guest",
		}
	}
	for _, p := range found {
		got.Leave(p, "a git folder; --allow-git brings it")
	}
	return rest, remove(root, found)
}

// enter opens the folder that t lies in, and gives t's name there.
func enter(t driver.Target, create bool) (parent *os.Root, base string, err error) {
	dir, base, err := split(t.Path)
	switch {
	case err != nil:
	case t.Enter != nil:
		parent, err = t.Enter(create)
	case create:
		if err = t.Root.MkdirAll(dir, 0o777); err == nil {
			parent, err = t.Root.OpenRoot(dir)
		}
	default:
		parent, err = t.Root.OpenRoot(dir)
	}
	return parent, base, err
}

// split cuts a target's path into the folder it is in and its name.
func split(name string) (dir, base string, err error) {
	clean := path.Clean(name)
	if name == "" || clean == "." || !filepath.IsLocal(filepath.FromSlash(clean)) {
		return "", "", &driver.Error{
			Class: driver.ErrRefused, Op: "use", Object: fmt.Sprintf("%q", name),
			Err: errors.New("not a path inside the folder"), Next: "name a file or directory below the folder",
		}
	}
	return path.Dir(clean), path.Base(clean), nil
}

// targetError says what was done to which target and finds the class of what the operating system said.
func targetError(op string, t driver.Target, err error) error {
	if err == nil {
		return nil
	}
	e := &driver.Error{Op: op, Object: t.Path, Err: err}
	if inner, ok := errors.AsType[*driver.Error](err); ok {
		e.Next = inner.Next
	}
	errno, _ := errors.AsType[syscall.Errno](err)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Class = driver.ErrNotFound
	case errno == syscall.ENOSPC || errno == syscall.EDQUOT:
		e.Class, e.Next = driver.ErrNoSpace, "free some space where the output goes"
	case e.Next == "":
		if e.Next = obstacle(t); e.Next != "" {
			e.Class = driver.ErrRefused
		}
	}
	return e
}
