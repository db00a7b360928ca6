// Package memory holds a guest's memory in a file without a name, memfd_create(2), and moves it to and from a sparse file.
//
// Promised: what Seal has closed can't be written, shrunk or grown by anybody any more, through whatever descriptor or
// mapping; a program that maps it privately has pages of its own as soon as it writes. A page of zeroes takes no room.
package memory

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// seals are those after which content and size stand for ever.
const seals = unix.F_SEAL_WRITE | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL

// New makes a memory of size bytes, all zero, that can be sealed.
func New(name string, size int64) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("make memory for %s: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	if err := f.Truncate(size); err != nil {
		return nil, errors.Join(fmt.Errorf("make memory for %s: %w", name, err), f.Close())
	}
	return f, nil
}

// Load makes a sealed memory of a file's content.
func Load(name string, from *os.File) (*os.File, error) {
	to, fill, err := Loading(name, from)
	if err != nil {
		return nil, err
	}
	if err := fill(); err != nil {
		return nil, errors.Join(err, to.Close())
	}
	return to, nil
}

// Loading is Load of a memory that has its size, and gets the content with its seals by fill, which must be called once.
// Its file can only be read: who has it before that can't write to it either.
func Loading(name string, from *os.File) (to *os.File, fill func() error, err error) {
	info, err := from.Stat()
	if err != nil {
		return nil, nil, err
	}
	m, err := New(name, info.Size())
	if err != nil {
		return nil, nil, err
	}
	if to, err = os.Open(fmt.Sprintf("/proc/self/fd/%d", m.Fd())); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("load %s: %w", name, err), m.Close())
	}
	return to, func() error {
		err := copyData(m, from, info.Size(), false)
		if err == nil {
			err = Seal(m)
		}
		if err = errors.Join(err, m.Close()); err != nil {
			return fmt.Errorf("load %s: %w", name, err)
		}
		return nil
	}, nil
}

// Save writes a memory into a file that is empty. The bytes are those of the moment only if nobody writes meanwhile.
func Save(to, from *os.File) error {
	info, err := from.Stat()
	if err != nil {
		return err
	}
	if err := to.Truncate(info.Size()); err != nil {
		return err
	}
	return copyData(to, from, info.Size(), true)
}

// Seal makes a memory immutable. It fails while a mapping could write to it.
func Seal(f *os.File) error {
	_, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals)
	return os.NewSyscallError("seal", err)
}

// Sealed says whether Seal has closed f, which is a memory then.
func Sealed(f *os.File) bool {
	got, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0)
	return err == nil && got&seals == seals
}

// Held gives the sealed memory of a name and size that another process of this user has open, to be read; nil when it has none.
func Held(pid int, name string, size int64) *os.File {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // it has ended, or is none of ours
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if to, err := os.Readlink(path); err != nil || to != "/memfd:"+name+" (deleted)" {
			continue
		}
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		if info, err := f.Stat(); err == nil && info.Size() == size && info.Sys().(*syscall.Stat_t).Uid == uint32(os.Geteuid()) && Sealed(f) {
			return f
		}
		f.Close()
	}
	return nil
}

// chunk is how much is copied at a time, and page what a guest's memory is handed out in.
const (
	chunk = 1 << 20
	page  = 4 << 10
)

// copyData copies what from has data for; with look, what is zero is left out as well.
func copyData(to, from *os.File, size int64, look bool) error {
	buf := make([]byte, chunk)
	for at := int64(0); at < size; {
		begin, end, err := extent(from, at, size)
		if err != nil || begin == end {
			return err
		}
		for at = begin; at < end; {
			n, err := from.ReadAt(buf[:min(chunk, end-at)], at)
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			if n == 0 {
				return err
			}
			if err := write(to, buf[:n], at, look); err != nil {
				return err
			}
			at += int64(n)
		}
	}
	return nil
}

// extent is the next part with data from at on; an empty one when there is none.
func extent(f *os.File, at, size int64) (begin, end int64, err error) {
	fd := int(f.Fd())
	begin, err = unix.Seek(fd, at, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		return size, size, nil
	}
	if err != nil {
		return 0, 0, os.NewSyscallError("seek data", err)
	}
	end, err = unix.Seek(fd, begin, unix.SEEK_HOLE)
	return begin, min(end, size), os.NewSyscallError("seek hole", err)
}

// write writes data, in as few pieces as there are pages between those that are left out.
func write(to *os.File, data []byte, at int64, look bool) error {
	if !look {
		_, err := to.WriteAt(data, at)
		return err
	}
	for len(data) > 0 {
		n, zero := 0, isZero(data[:min(page, len(data))])
		for n < len(data) && isZero(data[n:min(n+page, len(data))]) == zero {
			n = min(n+page, len(data))
		}
		if !zero {
			if _, err := to.WriteAt(data[:n], at); err != nil {
				return err
			}
		}
		data, at = data[n:], at+int64(n)
	}
	return nil
}

// zeroes is a page that nobody has written.
var zeroes [page]byte

func isZero(p []byte) bool { return string(p) == string(zeroes[:len(p)]) }
