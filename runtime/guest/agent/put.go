package agent

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"

	"golang.org/x/sys/unix"

	"microagent/runtime/disk/sparse"
	"microagent/runtime/filetime"
	"microagent/runtime/guest/proto"
	"microagent/runtime/guest/proto/wire"
	"microagent/runtime/tartree"
)

type unixStat = syscall.Stat_t

// put unpacks the stream's tar below a directory.
func (a *Agent) put(h *wire.StreamHeader, st *proto.Stream) error {
	if err := errors.Join(a.ready(), checkPath(h.GetPath())); err != nil {
		return answer(err)
	}
	if err := os.MkdirAll(h.GetPath(), 0o755); err != nil {
		return answer(err)
	}
	root, err := os.OpenRoot(h.GetPath())
	if err != nil {
		return answer(err)
	}
	defer root.Close()
	if err := st.Ok(); err != nil {
		return err
	}
	in := &unpacker{root: root}
	if err := in.unpack(st); err != nil {
		return answer(err)
	}
	// Behind the tar's end there is padding, and then the end that the host framed.
	if _, err := io.Copy(io.Discard, st); err != nil {
		return answer(err)
	}
	return answered(syncTree(h.GetPath()))
}

// syncTree brings the file system that holds dir to its disk.
func syncTree(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}

// unpacker writes a tar's entries below root and nowhere else.
type unpacker struct {
	root *os.Root
	dirs []*tar.Header // their times come last: what is written into them changes them
}

func (u *unpacker) unpack(r io.Reader) error {
	in := tartree.NewReader(r, tartree.Options{EndMark: tartree.Whole})
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read the tar: %w", err)
		}
		h.Name = tartree.Rooted(h.Name)
		if err := u.entry(h, in); err != nil {
			return err
		}
	}
	for _, h := range u.dirs {
		if err := filetime.Set(u.root, h.Name, h.ModTime); err != nil {
			return err
		}
	}
	return nil
}

func (u *unpacker) entry(h *tar.Header, r sparse.Reader) error {
	if dir := path.Dir(h.Name); dir != "." {
		if err := u.root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return u.directory(h)
	case tar.TypeReg:
		return u.replace(h, func(temp string) error { return u.file(temp, h, r) })
	case tar.TypeSymlink:
		return u.replace(h, func(temp string) error {
			if err := u.root.Symlink(h.Linkname, temp); err != nil {
				return err
			}
			return u.root.Lchown(temp, h.Uid, h.Gid)
		})
	case tar.TypeLink:
		return u.replace(h, func(temp string) error { return u.link(temp, h) })
	}
	return proto.Errorf(proto.CodeInvalid, "%s is neither a file, a directory nor a link", h.Name)
}

func (u *unpacker) directory(h *tar.Header) error {
	if h.Name == "." {
		return nil // the target is its owner's
	}
	if err := u.root.Mkdir(h.Name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := u.root.Chown(h.Name, h.Uid, h.Gid); err != nil {
		return err
	}
	u.dirs = append(u.dirs, h)
	return u.root.Chmod(h.Name, h.FileInfo().Mode())
}

// replace makes an entry under a temporary name and renames it.
func (u *unpacker) replace(h *tar.Header, make func(temp string) error) error {
	var b [6]byte
	_, _ = rand.Read(b[:])
	temp := path.Join(path.Dir(h.Name), ".microagent-"+hex.EncodeToString(b[:]))
	if err := make(temp); err != nil {
		return errors.Join(err, u.remove(temp))
	}
	err := u.root.Rename(temp, h.Name)
	if err != nil || h.Typeflag == tar.TypeLink { // of two names of one file both stay
		err = errors.Join(err, u.remove(temp))
	}
	return err
}

// link gives a file that came before another name. One that lies on another file system, or has as many names as it can
// have, is copied.
func (u *unpacker) link(temp string, h *tar.Header) error {
	first := tartree.Rooted(h.Linkname)
	err := u.root.Link(first, temp)
	if !errors.Is(err, unix.EXDEV) && !errors.Is(err, unix.EMLINK) {
		return err
	}
	f, err := u.root.OpenFile(first, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() {
		return proto.Errorf(proto.CodeInvalid, "%s is a link to %s, which is no regular file", h.Name, first)
	}
	return u.file(temp, h, sparse.New(context.Background(), f, st))
}

func (u *unpacker) remove(temp string) error {
	if err := u.root.Remove(temp); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (u *unpacker) file(temp string, h *tar.Header, r sparse.Reader) error {
	f, err := u.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	n, err := fill(f, r)
	if err == nil {
		err = f.Truncate(n)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", h.Name, err)
	}
	// The owner first: changing it takes setuid away.
	if err := f.Chown(h.Uid, h.Gid); err != nil {
		return err
	}
	if err := f.Chmod(h.FileInfo().Mode()); err != nil {
		return err
	}
	if err := filetime.Set(u.root, temp, h.ModTime); err != nil {
		return err
	}
	return f.Sync()
}

// fill writes a new file, without its holes and what is all zero: a host may not know of holes.
func fill(f *os.File, r sparse.Reader) (int64, error) {
	at := int64(0)
	b := make([]byte, 32<<10)
	for {
		n, err := r.Skip()
		if err != nil {
			return at, err
		}
		at += n
		m, err := r.Read(b)
		if len(bytes.TrimLeft(b[:m], "\x00")) > 0 {
			if _, err := f.WriteAt(b[:m], at); err != nil {
				return at, err
			}
		}
		at += int64(m)
		if errors.Is(err, io.EOF) {
			return at, nil
		}
		if err != nil {
			return at, err
		}
	}
}
