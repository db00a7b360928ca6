package folder

import (
	"os"
	"path"
	"path/filepath"
	"strings"

	"al.essio.dev/pkg/shellescape"
	"golang.org/x/sys/unix"

	"microagent/runtime/driver"
	"microagent/runtime/gitfolder"
)

// Target is where an output may be written: inside one of the folders, with no symlink on the way, in no git folder and
// at nothing else that was claimed. The driver asks for the folder it lies in when it is about to write, and then all
// this is looked at again.
func (f *Folder) Target(name string) (driver.Target, error) {
	abs := f.Resolve(name)
	r, rel, ok := f.within(abs)
	if !ok || rel == "." {
		return driver.Target{}, outside(name, abs, filepath.Dir(abs))
	}
	p, _, err := f.parent(name, r, rel, false)
	if err != nil {
		return driver.Target{}, err
	}
	p.close()
	return driver.Target{Path: rel, Enter: func(create bool) (*os.Root, error) {
		if create { // whatever is refused is refused before a folder is made for it
			p, _, err := f.parent(name, r, rel, false)
			if err != nil {
				return nil, err
			}
			p.close()
		}
		p, missing, err := f.parent(name, r, rel, create)
		if err != nil {
			return nil, err
		}
		defer p.close()
		if missing {
			return nil, &os.PathError{Op: "open", Path: path.Dir(rel), Err: unix.ENOENT}
		}
		return os.OpenRoot(inProc(p.top().fd))
	}}, nil
}

// parent goes to the folder that the target rel in r lies in, as far as there is one: missing says that there is not,
// unless create makes it. All that is to be said against the target is said here.
func (f *Folder) parent(name string, r root, rel string, create bool) (p *place, missing bool, err error) {
	p = r.place.fork()
	defer func() {
		if err != nil {
			p.close()
			p = nil
		}
	}()
	git := f.git()
	way := strings.Split(rel, "/")
	if err := f.clear(name, p, git); err != nil {
		return p, false, err
	}
	if err := f.completes(name, r.place, way); err != nil {
		return p, false, err
	}
	for i, part := range way {
		last := i == len(way)-1
		if gitfolder.IsName(part) && !f.free {
			return p, false, refuse(name, &GitError{Path: name, Git: f.in(path.Join(p.path(), part)), Abs: f.in(f.Resolve(name))}, elsewhere)
		}
		err := p.enter(part)
		if err == unix.ENOENT && create && !last {
			if err = unix.Mkdirat(p.top().fd, part, 0o777); err == nil || err == unix.EEXIST {
				err = p.enter(part)
			}
		}
		switch {
		case err == unix.ENOENT:
			return p, !last, f.unclaimed(name, p, way[i:])
		case err != nil:
			return p, false, &os.PathError{Op: "open", Path: path.Join(p.path(), part), Err: err}
		case p.top().is(unix.S_IFLNK):
			return p, false, f.link(name, p, way[i+1:])
		case !last && !p.top().is(unix.S_IFDIR):
			return p, false, refuse(name, &os.PathError{Op: "open", Path: path.Join(way[:i+1]...), Err: errNotFolder},
				"move it away, or name another target")
		}
		if err := f.clear(name, p, git); err != nil {
			return p, false, err
		}
	}
	if err := f.unclaimed(name, p, nil); err != nil {
		return p, false, err
	}
	p.cut(len(p.steps) - 1)
	return p, false, nil
}

// completes refuses a way that makes a git folder of one that it leads through, with what is there and what other outputs
// make. What is one already, and links, are refused elsewhere.
func (f *Folder) completes(name string, from *place, way []string) error {
	if f.free {
		return nil
	}
	p := from.fork()
	defer p.close()
	dir, exists := from.path(), true
	for _, part := range way {
		git := gitfolder.IsRepository(func(name string) bool {
			return name == part || f.claims.made[path.Join(dir, name)] || exists && there(p.top().fd, name)
		})
		if git && !(exists && looksGit(p.top().fd)) {
			return refuse(name, &GitError{Path: name, Git: f.in(dir), Made: true}, elsewhere)
		}
		dir = path.Join(dir, part)
		exists = exists && p.enter(part) == nil && p.top().is(unix.S_IFDIR)
	}
	return nil
}

// clear refuses a way that leads into a git folder.
func (f *Folder) clear(name string, p *place, git map[id]bool) error {
	if err := f.judge(name, p, git); err != nil {
		return refuse(name, err, elsewhere)
	}
	return nil
}

// link refuses the symlink at p, and says how to name what is behind it when that can be written to.
func (f *Folder) link(name string, p *place, rest []string) error {
	target, err := readlink(p.top().fd)
	if err != nil {
		return err
	}
	at := p.path()
	real := target
	if !filepath.IsAbs(target) {
		real = path.Join(path.Dir(at), target)
	}
	next := "remove the link, or name another place, such as ./out/result"
	if to := path.Join(append([]string{real}, rest...)...); len(rest) > 0 && !f.holds(real) {
		next = "remove the link, or name the place itself, to: " + to + ", and allow it with --allow-path=" + shellescape.Quote(real)
	}
	return refuse(name, &LinkError{Path: name, Link: f.in(at), Real: target}, next)
}

// holds says that path leads beneath an open folder.
func (f *Folder) holds(path string) bool {
	p, way := f.start(filepath.Clean(path))
	defer p.close()
	_, _ = p.follow(way, true)
	return f.root(p) >= 0
}
