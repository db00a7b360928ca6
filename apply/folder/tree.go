package folder

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"microagent/runtime/driver"
	"microagent/runtime/gitfolder"
)

// Sub implements driver.Files.
func (f *Folder) Sub(name string) (driver.Tree, error) {
	p, err := f.source(name, true)
	if err != nil {
		return nil, err
	}
	if !p.top().is(unix.S_IFDIR) {
		p.close()
		return nil, &fs.PathError{Op: "open", Path: name, Err: unix.ENOTDIR}
	}
	return &tree{at: p, last: p.fork(), free: f.free, git: f.git()}, nil
}

// tree is a source folder that is held open. Nothing below it is reached through a link. The folders on the way to what
// was asked for last stay open, so that what lies beside it is one step away; who asks for something else leaves them.
// Its methods must not be called at the same time.
type tree struct {
	at    *place
	last  *place   // where the last call went
	way   []string // the names of its steps below at
	seen  bool     // the last step is what Lstat showed: who opens the same name gets that
	free  bool     // git folders are read as well
	git   map[id]bool
	owner *Folder // closed with it
}

// place goes to name, which is relative. The place is the tree's own, until the next call.
func (t *tree) place(name string, seen bool) (*place, error) {
	way := strings.Split(path.Clean(name), "/")
	if way[0] == "." {
		way = nil
	}
	known := 0
	for known < min(len(way), len(t.way)) && way[known] == t.way[known] {
		known++
	}
	if known == len(way) && known > 0 && (!t.seen || !seen) {
		known--
	}
	t.seen = false
	t.last.cut(len(t.at.steps) + known)
	t.way = t.way[:known]
	var err error
	if !filepath.IsLocal(path.Clean(name)) {
		err = unix.EXDEV
	}
	for _, part := range way[known:] {
		if err != nil {
			break
		}
		if err = t.last.enter(part); err != nil {
			break
		}
		t.way = append(t.way, part)
		if !t.free && (gitfolder.IsName(part) || t.git[t.last.top().id]) {
			err = &GitError{Path: name, Git: t.last.path(), Abs: path.Join(t.at.path(), name)}
			t.leave()
		}
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return t.last, nil
}

// leave goes back by one step.
func (t *tree) leave() {
	t.way = t.way[:len(t.way)-1]
	t.last.cut(len(t.at.steps) + len(t.way))
}

func (t *tree) Open(name string) (*os.File, error) {
	p, err := t.place(name, true)
	if err != nil {
		return nil, err
	}
	if p.top().is(unix.S_IFLNK) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: unix.ELOOP}
	}
	return p.open(unix.O_RDONLY)
}

func (t *tree) Stat(name string) (fs.FileInfo, error) {
	info, err := t.Lstat(name)
	if err == nil && info.Mode().Type() == fs.ModeSymlink {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: unix.ELOOP}
	}
	return info, err
}

func (t *tree) Lstat(name string) (fs.FileInfo, error) {
	p, err := t.place(name, false)
	if err != nil {
		return nil, err
	}
	t.seen = true
	return p.info()
}

func (t *tree) Readlink(name string) (string, error) {
	p, err := t.place(name, true)
	if err != nil {
		return "", err
	}
	return p.readlink()
}

func (t *tree) Close() error {
	t.last.close()
	t.at.close()
	if t.owner != nil {
		return t.owner.Close()
	}
	return nil
}
