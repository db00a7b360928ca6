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
	shown leaf     // what Lstat showed last: who opens it gets that or nothing
	free  bool     // git folders are read as well
	git   map[id]bool
	owner *Folder // closed with it

	entries []byte // room for what List reads
}

// leaf is something in the folder at the tree's last place.
type leaf struct {
	path, base string
	id         id
}

// place goes to name, which is relative. The place is the tree's own, until the next call.
func (t *tree) place(name string) (*place, error) {
	t.shown = leaf{}
	name = path.Clean(name)
	way := strings.Split(name, "/")
	if name == "." {
		way = nil
	}
	known := 0
	for known < min(len(way), len(t.way)) && way[known] == t.way[known] {
		known++
	}
	t.last.cut(len(t.at.steps) + known)
	t.way = t.way[:known]
	var err error
	if !filepath.IsLocal(name) {
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
		if err = t.judge(name, part, t.last.top().id); err != nil {
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

// judge refuses part, the last of name so far, where it is a git folder or of one.
func (t *tree) judge(name, part string, what id) error {
	if t.free || !gitfolder.IsName(part) && !t.git[what] {
		return nil
	}
	return &GitError{Path: name, Git: path.Join(t.last.path(), part), Abs: path.Join(t.at.path(), name)}
}

// again goes to name as place does, and into its last step anew: what is there may be another thing by now.
func (t *tree) again(name string) (*place, error) {
	if name = path.Clean(name); name != "." {
		if _, err := t.place(path.Dir(name)); err != nil {
			return nil, err
		}
	}
	return t.place(name)
}

// Open opens a file or a folder. What Lstat showed just before is that or unix.ESTALE.
func (t *tree) Open(name string) (*os.File, error) {
	if t.shown.path != "" && t.shown.path == name {
		return t.openShown()
	}
	p, err := t.again(name)
	if err != nil {
		return nil, err
	}
	if p.top().is(unix.S_IFLNK) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: unix.ELOOP}
	}
	return p.open(unix.O_RDONLY)
}

// openShown opens the regular file that Lstat showed. In its place there may be something else by now, of which nothing
// is read.
func (t *tree) openShown() (*os.File, error) {
	was := t.shown
	t.shown = leaf{}
	fd, err := retry(func() (int, error) {
		return unix.Openat(t.last.top().fd, was.base, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: was.path, Err: err}
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && (id{st.Dev, st.Ino} != was.id || st.Mode&unix.S_IFMT != unix.S_IFREG) {
		err = unix.ESTALE
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, &fs.PathError{Op: "open", Path: was.path, Err: err}
	}
	return os.NewFile(uintptr(fd), was.path), nil
}

func (t *tree) Stat(name string) (fs.FileInfo, error) {
	info, err := t.Lstat(name)
	if err == nil && info.Mode().Type() == fs.ModeSymlink {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: unix.ELOOP}
	}
	return info, err
}

// Lstat looks at what is in a folder without going there.
func (t *tree) Lstat(name string) (fs.FileInfo, error) {
	dir, base := path.Split(path.Clean(name))
	if base == "." || base == ".." || !filepath.IsLocal(name) {
		p, err := t.place(name)
		if err != nil {
			return nil, err
		}
		return p.info()
	}
	p, err := t.place(dir)
	if err != nil {
		return nil, err
	}
	i := &info{name: base}
	_, err = retry(func() (int, error) { return 0, lstatAt(p.top().fd, base, &i.st) })
	what := id{i.st.Dev, i.st.Ino}
	if err == nil {
		err = t.judge(name, base, what)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	if i.st.Mode&unix.S_IFMT == unix.S_IFREG {
		t.shown = leaf{name, base, what}
	}
	return i, nil
}

func (t *tree) Readlink(name string) (string, error) {
	p, err := t.again(name)
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
