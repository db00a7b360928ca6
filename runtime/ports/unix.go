package ports

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"microagent/schema/spec"
)

// unixGate has its socket at a path while it listens, and nothing there at other times. That of UDP keeps the bounds of
// datagrams (SOCK_SEQPACKET): each connection to it is a peer.
type unixGate struct {
	door
	path string
	kind int // of socket
	dir  *os.File
	hold int // a socket that keeps others of ours off the path while nothing lies there
}

// bindUnix takes a path on which there is nothing, or a socket that an earlier program left.
func bindUnix(path string, udp bool) ([]gate, error) {
	if !filepath.IsAbs(path) || len(path) > spec.MostSocketPath {
		return nil, fmt.Errorf("the path of a socket is absolute and has %d bytes at most, this has %d", spec.MostSocketPath, len(path))
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	hold, err := holdPath(dir, filepath.Base(path))
	if err != nil {
		dir.Close()
		return nil, &fs.PathError{Op: "bind", Path: path, Err: err}
	}
	kind := unix.SOCK_STREAM
	if udp {
		kind = unix.SOCK_SEQPACKET
	}
	return []gate{&unixGate{path: path, kind: kind, dir: dir, hold: hold}}, nil
}

// holdPath makes a port the only one that is published at a name in a folder, EADDRINUSE when another is. It
// binds a name of the abstract namespace (unix(7)), which leaves no file and goes with the process, however that ends.
func holdPath(dir *os.File, name string) (fd int, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &st); err != nil {
		return -1, os.NewSyscallError("fstat", err)
	}
	key := sha256.Sum256(fmt.Appendf(nil, "%d %d %s", st.Dev, st.Ino, name))
	fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: fmt.Sprintf("@microagent-port-%x", key)}); err != nil {
		_ = unix.Close(fd)
		return -1, os.NewSyscallError("bind", err)
	}
	return fd, nil
}

func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() == fs.ModeSocket:
		conn, err := net.Dial("unix", path)
		if errors.Is(err, unix.ECONNREFUSED) {
			return os.Remove(path)
		}
		if err == nil {
			_ = conn.Close() // only asked whether somebody is there
		}
	}
	return &fs.PathError{Op: "bind", Path: path, Err: fs.ErrExist}
}

// listen makes the socket under a name of its own and links it to its path, over which it never puts anything.
func (g *unixGate) listen() (*net.UnixListener, error) {
	made := fmt.Sprintf(".%s.%d", filepath.Base(g.path), os.Getpid())
	fd, err := unix.Socket(unix.AF_UNIX, g.kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	f := os.NewFile(uintptr(fd), g.path)
	defer f.Close() // the listener has a copy
	in := int(g.dir.Fd())
	_ = unix.Unlinkat(in, made, 0) // of an earlier program with our number, or nothing
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: fmt.Sprintf("/proc/self/fd/%d/%s", in, made)}); err != nil {
		return nil, &fs.PathError{Op: "bind", Path: g.path, Err: err}
	}
	defer func() { _ = unix.Unlinkat(in, made, 0) }()
	err = unix.Fchmodat(in, made, 0o600, 0)
	if err == nil {
		err = unix.Listen(fd, queue)
	}
	if err == nil {
		err = unix.Linkat(in, made, in, filepath.Base(g.path), 0)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "listen", Path: g.path, Err: err}
	}
	l, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	return l.(*net.UnixListener), nil
}

func (g *unixGate) open(l *life, p *port) error {
	return g.admit(l, p, func() (func() (net.Conn, error), func(), error) {
		listener, err := g.listen()
		if err != nil {
			return nil, nil, err
		}
		ours := g.there()
		return listener.Accept, func() {
			if g.there() == ours {
				_ = unix.Unlinkat(int(g.dir.Fd()), filepath.Base(g.path), 0)
			}
			_ = listener.Close()
		}, nil
	})
}

// there tells what lies at the path now from whatever else may.
func (g *unixGate) there() (file [2]uint64) {
	var st unix.Stat_t
	if unix.Fstatat(int(g.dir.Fd()), filepath.Base(g.path), &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
		file = [2]uint64{st.Dev, st.Ino}
	}
	return file
}

func (g *unixGate) close() {
	g.lock()
	_ = g.dir.Close()
	_ = unix.Close(g.hold)
}
