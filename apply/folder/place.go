package folder

import (
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxLinks is how many symlinks are followed on one way, as in path_resolution(7).
const maxLinks = 40

// id says which file something is, whatever name, link or mount leads to it.
type id struct{ dev, ino uint64 }

// step is one component of a way, open with O_PATH.
type step struct {
	name   string
	fd     int
	id     id
	mode   uint32 // type bits of st_mode
	shared bool   // belongs to the Folder
}

func (s *step) is(kind uint32) bool { return s.mode == kind }

func (s *step) close() {
	if !s.shared {
		_ = unix.Close(s.fd)
	}
}

// openStep opens name in the folder at fd; a symlink is opened itself.
func openStep(fd int, name string) (step, error) {
	got, err := retry(func() (int, error) {
		return unix.Openat(fd, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return step{}, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(got, &st); err != nil {
		_ = unix.Close(got)
		return step{}, err
	}
	return step{name: name, fd: got, id: id{st.Dev, st.Ino}, mode: st.Mode & unix.S_IFMT}, nil
}

func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != unix.EINTR {
			return n, err
		}
	}
}

// readlink is the target of the open symlink at fd.
func readlink(fd int) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := retry(func() (int, error) { return unix.Readlinkat(fd, "", buf) })
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// place is where a way has come to: every folder from / on, each one open. What it stands for can't change under it.
type place struct{ steps []step }

func (p *place) top() *step { return &p.steps[len(p.steps)-1] }

func (p *place) close() {
	for i := range p.steps {
		p.steps[i].close()
	}
	p.steps = nil
}

// cut takes everything above the first n steps away.
func (p *place) cut(n int) {
	for len(p.steps) > n {
		p.top().close()
		p.steps = p.steps[:len(p.steps)-1]
	}
}

// fork gives the same place to walk on from; it owns no step of p.
func (p *place) fork() *place {
	steps := slices.Clone(p.steps)
	for i := range steps {
		steps[i].shared = true
	}
	return &place{steps}
}

// path is the absolute path of the place, without links.
func (p *place) path() string {
	names := make([]string, len(p.steps))
	for i := range p.steps {
		names[i] = p.steps[i].name
	}
	return path.Join(names...)
}

// enter goes one component on. It follows nothing.
func (p *place) enter(name string) error {
	if !p.top().is(unix.S_IFDIR) {
		return unix.ENOTDIR
	}
	s, err := openStep(p.top().fd, name)
	if err == nil {
		p.steps = append(p.steps, s)
	}
	return err
}

// follow goes along way, through symlinks; through a last one when last is set. After an error rest is what could not
// be gone.
func (p *place) follow(way []string, last bool) (rest []string, err error) {
	for links := 0; len(way) > 0; {
		name := way[0]
		switch {
		case name == "" || name == ".":
		case !p.top().is(unix.S_IFDIR):
			return way, unix.ENOTDIR
		case name == "..":
			p.cut(max(1, len(p.steps)-1))
		default:
			if err := p.enter(name); err != nil {
				return way, err
			}
			if !p.top().is(unix.S_IFLNK) || len(way) == 1 && !last {
				break
			}
			if links++; links > maxLinks {
				return way, unix.ELOOP
			}
			target, err := readlink(p.top().fd)
			if err != nil {
				return way, err
			}
			p.cut(len(p.steps) - 1)
			if path.IsAbs(target) {
				p.cut(1)
			}
			way = append(strings.Split(target, "/"), way[1:]...)
			continue
		}
		way = way[1:]
	}
	return nil, nil
}

// open opens what is at the place anew: the very same file.
func (p *place) open(flags int) (*os.File, error) {
	if !p.top().is(unix.S_IFREG) {
		flags |= unix.O_NONBLOCK // nobody waits for the other end of a FIFO
	}
	fd, err := retry(func() (int, error) { return unix.Open(inProc(p.top().fd), flags|unix.O_CLOEXEC, 0) })
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: p.path(), Err: err}
	}
	return os.NewFile(uintptr(fd), p.path()), nil
}

// info is what is at the place now.
func (p *place) info() (fs.FileInfo, error) {
	i := &info{name: p.top().name}
	_, err := retry(func() (int, error) { return 0, syscall.Fstat(p.top().fd, &i.st) })
	if err != nil {
		return nil, &fs.PathError{Op: "stat", Path: p.path(), Err: err}
	}
	return i, nil
}
