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
	return &tree{at: p, free: f.free, git: f.git()}, nil
}

// tree is a source folder that is held open. Nothing below it is reached through a link.
type tree struct {
	at    *place
	free  bool // git folders are read as well
	git   map[id]bool
	owner *Folder // closed with it
}

// place goes to name, which is relative.
func (t *tree) place(name string) (*place, error) {
	p := t.at.fork()
	err := error(nil)
	if name = path.Clean(name); !filepath.IsLocal(name) {
		err = unix.EXDEV
	}
	for part := range strings.SplitSeq(name, "/") {
		if err != nil || part == "." {
			break
		}
		if err = p.enter(part); err == nil && !t.free && (gitfolder.IsName(part) || t.git[p.top().id]) {
			err = &GitError{Path: name, Git: p.path(), Abs: path.Join(t.at.path(), name)}
		}
	}
	if err != nil {
		p.close()
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return p, nil
}

func (t *tree) Open(name string) (*os.File, error) {
	p, err := t.place(name)
	if err != nil {
		return nil, err
	}
	defer p.close()
	if p.top().is(unix.S_IFLNK) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: unix.ELOOP}
	}
	return p.open(unix.O_RDONLY | unix.O_NONBLOCK)
}

func (t *tree) Stat(name string) (fs.FileInfo, error) {
	info, err := t.Lstat(name)
	if err == nil && info.Mode().Type() == fs.ModeSymlink {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: unix.ELOOP}
	}
	return info, err
}

func (t *tree) Lstat(name string) (fs.FileInfo, error) {
	p, err := t.place(name)
	if err != nil {
		return nil, err
	}
	defer p.close()
	return p.info()
}

func (t *tree) Readlink(name string) (string, error) {
	p, err := t.place(name)
	if err != nil {
		return "", err
	}
	defer p.close()
	return p.readlink()
}

func (t *tree) Close() error {
	t.at.close()
	if t.owner != nil {
		return t.owner.Close()
	}
	return nil
}
