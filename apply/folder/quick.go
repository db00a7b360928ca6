package folder

import (
	"bytes"
	"encoding/binary"
	"io/fs"
	"path"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"microagent/runtime/driver"
)

var _ driver.QuickTree = (*tree)(nil)

// List gives what is in a folder, which is open from then on as those on the way to it are.
func (t *tree) List(name string) ([]driver.Name, error) {
	fd, err := t.enterFolder(name)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	if t.entries == nil {
		t.entries = make([]byte, 32<<10)
	}
	var all []driver.Name
	for {
		n, err := retry(func() (int, error) { return unix.Getdents(fd, t.entries) })
		if err != nil {
			return nil, &fs.PathError{Op: "list", Path: name, Err: err}
		}
		if n == 0 {
			return all, nil
		}
		all = appendNames(all, t.entries[:n])
	}
}

// enterFolder goes to a folder and gives its descriptor, for reading, which stays the tree's.
func (t *tree) enterFolder(name string) (int, error) {
	dir, base := path.Split(path.Clean(name))
	if !filepath.IsLocal(name) {
		return -1, unix.EXDEV
	}
	p, err := t.place(dir)
	if err != nil {
		return -1, err
	}
	fd, err := retry(func() (int, error) {
		return unix.Openat(p.top().fd, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return -1, err
	}
	var st unix.Stat_t
	what := id{}
	if err = unix.Fstat(fd, &st); err == nil {
		if what = (id{st.Dev, st.Ino}); base != "." {
			err = t.judge(name, base, what)
		}
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	t.last.steps, t.way = append(t.last.steps, step{name: base, fd: fd, id: what, mode: unix.S_IFDIR}), append(t.way, base)
	return fd, nil
}

// appendNames adds the names in what getdents64(2) gave.
func appendNames(all []driver.Name, list []byte) []driver.Name {
	const head = 19 // d_ino, d_off, d_reclen, d_type
	for len(list) > head {
		size := int(binary.NativeEndian.Uint16(list[16:]))
		if size <= head || size > len(list) {
			break
		}
		entry, kind := list[head:size], list[18]
		list = list[size:]
		name, _, _ := bytes.Cut(entry, []byte{0})
		if s := string(name); s != "." && s != ".." {
			all = append(all, driver.Name{Name: s, Type: typeOf(kind)})
		}
	}
	return all
}

func typeOf(kind byte) fs.FileMode {
	switch kind {
	case unix.DT_REG:
		return 0
	case unix.DT_DIR:
		return fs.ModeDir
	case unix.DT_LNK:
		return fs.ModeSymlink
	}
	return fs.ModeIrregular
}

// OpenFile opens a regular file. It never waits for the other end of a FIFO.
func (t *tree) OpenFile(name string) (int, fs.FileInfo, error) {
	fd, info, err := t.openFile(name)
	if err != nil {
		return -1, nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return fd, info, nil
}

func (t *tree) openFile(name string) (int, fs.FileInfo, error) {
	dir, base := path.Split(path.Clean(name))
	if base == "." || base == ".." || !filepath.IsLocal(name) {
		return -1, nil, unix.ESTALE
	}
	p, err := t.place(dir)
	if err != nil {
		return -1, nil, err
	}
	fd, err := retry(func() (int, error) {
		return unix.Openat(p.top().fd, base, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return -1, nil, err
	}
	i := &info{name: base}
	if err = syscall.Fstat(fd, &i.st); err == nil && i.st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = unix.ESTALE
	}
	if err == nil {
		err = t.judge(name, base, id{i.st.Dev, i.st.Ino})
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, nil, err
	}
	return fd, i, nil
}
