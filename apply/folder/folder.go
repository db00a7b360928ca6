// Package folder opens what a manifest names, beneath the manifest's own folder and the folders that the user
// allowed on the command line. It is what makes a manifest from a pull request harmless to the host's files:
// nothing else in the engine opens a path that a manifest wrote. apply, its refresh and the commands use it.
package folder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"microagent/runtime/driver"
)

// Folder is the manifest's folder with what the user allowed beside it. It implements driver.Files.
type Folder struct {
	dir   string
	roots []root
}

type root struct {
	dir  string // absolute, symlinks resolved
	root *os.Root
}

var _ driver.Files = (*Folder)(nil)

// Open opens dir and the allowed folders.
func Open(dir string, allow []string) (*Folder, error) {
	f := &Folder{}
	for i, d := range append([]string{dir}, allow...) {
		abs, err := filepath.Abs(d)
		if err == nil {
			abs, err = filepath.EvalSymlinks(abs)
		}
		var r *os.Root
		if err == nil {
			r, err = os.OpenRoot(abs)
		}
		if err != nil {
			f.Close()
			if i > 0 {
				return nil, fmt.Errorf("open --allow-path %s: %w", d, err)
			}
			return nil, fmt.Errorf("open folder %s: %w", d, err)
		}
		if i == 0 {
			f.dir = abs
		}
		f.roots = append(f.roots, root{abs, r})
	}
	return f, nil
}

// Close closes the open folders.
func (f *Folder) Close() error {
	var err error
	for _, r := range f.roots {
		err = errors.Join(err, r.root.Close())
	}
	return err
}

// Dir is the manifest's folder, absolute.
func (f *Folder) Dir() string { return f.dir }

// OutsideError says that a path leaves the folders it may be in.
type OutsideError struct {
	Path string // as the manifest has it
	Real string // where it leads, when that is known
}

func (e *OutsideError) Error() string {
	if e.Real != "" && e.Real != e.Path {
		return fmt.Sprintf("%s leads to %s, outside the manifest's folder", e.Path, e.Real)
	}
	return e.Path + " is outside the manifest's folder"
}

// Is makes it an error of class driver.ErrRefused.
func (e *OutsideError) Is(target error) bool { return target == driver.ErrRefused }

func outside(name, real string) error {
	dir := filepath.Dir(real)
	return &driver.Error{
		Class: driver.ErrRefused, Op: "open", Object: name, Err: &OutsideError{name, real},
		Next: "move it into the manifest's folder, or allow it with --allow-path=" + dir,
	}
}

// within finds the root that holds the absolute path abs, and abs relative to it.
func (f *Folder) within(abs string) (*os.Root, string, bool) {
	for _, r := range f.roots {
		if abs == r.dir {
			return r.root, ".", true
		}
		if rel, ok := strings.CutPrefix(abs, strings.TrimSuffix(r.dir, "/")+"/"); ok {
			return r.root, rel, true
		}
	}
	return nil, "", false
}

// Resolve is the absolute path of name, symlinks not followed.
func (f *Folder) Resolve(name string) string {
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	return filepath.Join(f.dir, name)
}

// locate gives the root to use for name. When a symlink on the way leaves its root, the path it leads to decides.
func (f *Folder) locate(name string, probe func(*os.Root, string) error) error {
	abs := f.Resolve(name)
	r, rel, ok := f.within(abs)
	if !ok {
		real, err := filepath.EvalSymlinks(abs)
		if err != nil {
			return outside(name, abs)
		}
		if r, rel, ok = f.within(real); !ok {
			return outside(name, real)
		}
		return probe(r, rel)
	}
	err := probe(r, rel)
	if err == nil || errors.Is(err, fs.ErrNotExist) || !escapes(err) {
		return err
	}
	real, evalErr := filepath.EvalSymlinks(abs)
	if evalErr != nil {
		return err
	}
	if r, rel, ok = f.within(real); !ok {
		return outside(name, real)
	}
	return probe(r, rel)
}

// escapes recognises os.Root's refusal, which has no exported error of its own.
func escapes(err error) bool {
	var pe *fs.PathError
	return errors.As(err, &pe) && strings.Contains(pe.Err.Error(), "escapes")
}

// Open implements driver.Files. It never waits for the other end of a FIFO.
func (f *Folder) Open(name string) (file *os.File, err error) {
	err = f.locate(name, func(r *os.Root, rel string) (err error) {
		file, err = r.OpenFile(rel, os.O_RDONLY|unix.O_NONBLOCK, 0)
		return err
	})
	return file, err
}

// Stat implements driver.Files.
func (f *Folder) Stat(name string) (info fs.FileInfo, err error) {
	err = f.locate(name, func(r *os.Root, rel string) (err error) {
		info, err = r.Stat(rel)
		return err
	})
	return info, err
}

// Lstat implements driver.Files.
func (f *Folder) Lstat(name string) (info fs.FileInfo, err error) {
	err = f.locate(name, func(r *os.Root, rel string) (err error) {
		info, err = r.Lstat(rel)
		return err
	})
	return info, err
}

// Readlink implements driver.Files.
func (f *Folder) Readlink(name string) (target string, err error) {
	err = f.locate(name, func(r *os.Root, rel string) (err error) {
		target, err = r.Readlink(rel)
		return err
	})
	return target, err
}

// Target is where an output may be written: inside one of the folders.
func (f *Folder) Target(name string) (driver.Target, error) {
	abs := f.Resolve(name)
	r, rel, ok := f.within(abs)
	if !ok || rel == "." {
		return driver.Target{}, outside(name, abs)
	}
	return driver.Target{Root: r, Path: rel}, nil
}
