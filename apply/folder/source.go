package folder

import (
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"microagent/runtime/driver"
	"microagent/runtime/gitfolder"
)

// source goes to what a manifest reads. Links are followed as long as they end beneath an open folder, a last one when
// last is set; what ends outside is refused as such, whether it is there or not.
func (f *Folder) source(name string, last bool) (*place, error) {
	p, way := f.start(f.Resolve(name))
	rest, err := p.follow(way, last)
	switch root := f.root(p); {
	case root < 0:
		real := path.Join(p.path(), path.Join(rest...))
		p.close()
		folder := real
		if info, err := os.Lstat(real); err != nil || !info.IsDir() {
			folder = path.Dir(real)
		}
		return nil, outside(name, real, folder)
	case err != nil:
		at := path.Join(p.path(), path.Join(rest...))
		p.close()
		return nil, &fs.PathError{Op: "open", Path: at, Err: err}
	}
	if err := f.judge(name, p, f.git()); err != nil {
		p.close()
		return nil, &driver.Error{Class: driver.ErrRefused, Op: "open", Object: name, Err: err,
			Next: "name another file or folder; what is in a git folder is not read"}
	}
	return p, nil
}

// start gives the nearest open folder for an absolute path, and the way from there.
func (f *Folder) start(abs string) (*place, []string) {
	if r, rel, ok := f.within(abs); ok {
		return r.place.fork(), strings.Split(rel, "/")
	}
	top := &place{f.roots[0].place.steps[:1]}
	return top.fork(), strings.Split(abs, "/")
}

// root is the index of p's first step that is an open folder of f, -1 for none.
func (f *Folder) root(p *place) int {
	for i := range p.steps {
		for _, r := range f.roots {
			if p.steps[i].id == r.place.top().id {
				return i
			}
		}
	}
	return -1
}

// judge refuses a place that is a git folder or lies in one, as far up as the folders of f go.
func (f *Folder) judge(name string, p *place, git map[id]bool) error {
	if f.free {
		return nil
	}
	root := f.root(p)
	for i := root; i < len(p.steps); i++ {
		s := &p.steps[i]
		if i > root && gitfolder.IsName(s.name) || git[s.id] || s.is(unix.S_IFDIR) && looksGit(s.fd) {
			return &GitError{Path: name, Git: f.in((&place{p.steps[:i+1]}).path()), Abs: f.in(f.Resolve(name))}
		}
	}
	return nil
}

// git are the git folders of the repositories that the manifest and the allowed folders lie in.
func (f *Folder) git() map[id]bool {
	if f.free {
		return nil
	}
	var places []*place
	for _, r := range f.roots {
		places = append(places, r.place)
	}
	return gitFolders(places...)
}

// Open implements driver.Files. It never waits for the other end of a FIFO.
func (f *Folder) Open(name string) (*os.File, error) {
	p, err := f.source(name, true)
	if err != nil {
		return nil, err
	}
	defer p.close()
	return p.open(unix.O_RDONLY)
}

// Stat implements driver.Files.
func (f *Folder) Stat(name string) (fs.FileInfo, error) { return f.look(name, true) }

// Lstat implements driver.Files.
func (f *Folder) Lstat(name string) (fs.FileInfo, error) { return f.look(name, false) }

func (f *Folder) look(name string, last bool) (fs.FileInfo, error) {
	p, err := f.source(name, last)
	if err != nil {
		return nil, err
	}
	defer p.close()
	return p.info()
}

// Readlink implements driver.Files.
func (f *Folder) Readlink(name string) (string, error) {
	p, err := f.source(name, false)
	if err != nil {
		return "", err
	}
	defer p.close()
	return p.readlink()
}

func (p *place) readlink() (string, error) {
	if !p.top().is(unix.S_IFLNK) {
		return "", &fs.PathError{Op: "readlink", Path: p.path(), Err: unix.EINVAL}
	}
	return readlink(p.top().fd)
}
