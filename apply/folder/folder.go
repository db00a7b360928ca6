// Package folder opens what a manifest names, beneath the manifest's own folder and the folders that the user
// allowed on the command line. It is what makes a manifest from a pull request harmless to the host's files:
// nothing else in the engine opens a path that a manifest wrote. apply, its refresh and the commands use it.
//
// A path's text decides nothing. Each way is walked component by component on open folders, and what was opened is
// judged by what it is: hard links, bind mounts and other names for a thing make no difference, and what is swapped in
// later is not reached. Sources may lead through symlinks that end beneath an open folder; on the way to an output's
// target there is none. A git folder is never read from or written to, nor what lies in one.
package folder

import (
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"microagent/runtime/driver"
	"microagent/runtime/gitfolder"
)

// Folder is the manifest's folder with what the user allowed beside it. It implements driver.Files.
type Folder struct {
	dir    string
	roots  []root // the manifest's folder is the first
	free   bool
	claims claims
}

type root struct {
	given string // absolute, as it was named
	place *place
}

var _ driver.Files = (*Folder)(nil)

// Open opens dir and the allowed folders.
func Open(dir string, allow []string) (*Folder, error) {
	f := &Folder{}
	for i, d := range append([]string{dir}, allow...) {
		if err := f.add(d); err != nil {
			f.Close()
			if i > 0 {
				return nil, fmt.Errorf("open --allow-path %s: %w", d, err)
			}
			return nil, fmt.Errorf("open folder %s: %w", d, err)
		}
	}
	for i, d := range allow {
		if err := f.allowed(d, f.roots[i+1].place); err != nil {
			f.Close()
			return nil, err
		}
	}
	f.dir = f.roots[0].place.path()
	return f, nil
}

// Free opens any path, git folders too, relative ones from dir: for what the user typed on the command line.
func Free(dir string) (*Folder, error) {
	f, err := Open(dir, []string{"/"})
	if err == nil {
		f.free = true
	}
	return f, err
}

func (f *Folder) add(dir string) error {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	top, err := openStep(unix.AT_FDCWD, "/")
	if err != nil {
		return err
	}
	p := &place{[]step{top}}
	if _, err = p.follow(strings.Split(abs, "/"), true); err == nil && !p.top().is(unix.S_IFDIR) {
		err = unix.ENOTDIR
	}
	if err != nil {
		p.close()
		return err
	}
	f.roots = append(f.roots, root{abs, p})
	return nil
}

// allowed refuses a folder that is a git folder or lies in one, however far up that is.
func (f *Folder) allowed(dir string, p *place) error {
	git := f.git()
	for i := range p.steps {
		s := &p.steps[i]
		if gitfolder.IsName(s.name) || git[s.id] || looksGit(s.fd) {
			at := (&place{p.steps[:i+1]}).path()
			return &driver.Error{Class: driver.ErrRefused, Op: "open --allow-path", Object: dir,
				Err:  &GitError{Path: dir, Git: at, Abs: p.path()},
				Next: "allow another folder; what is in a git folder is neither read nor written"}
		}
	}
	return nil
}

// Close closes the open folders.
func (f *Folder) Close() error {
	for _, r := range f.roots {
		r.place.close()
	}
	f.roots = nil
	return nil
}

// Dir is the manifest's folder, absolute.
func (f *Folder) Dir() string { return f.dir }

// Resolve is the absolute path of name, symlinks not followed.
func (f *Folder) Resolve(name string) string {
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	return filepath.Join(f.Dir(), name)
}

// within finds the open folder under whose name abs begins, and abs relative to it.
func (f *Folder) within(abs string) (root, string, bool) {
	for _, r := range f.roots {
		for _, dir := range []string{r.place.path(), r.given} {
			if abs == dir {
				return r, ".", true
			}
			if rel, ok := strings.CutPrefix(abs, strings.TrimSuffix(dir, "/")+"/"); ok {
				return r, rel, true
			}
		}
	}
	return root{}, "", false
}
