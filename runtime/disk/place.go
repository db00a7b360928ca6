package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"microagent/runtime/disk/target"
	"microagent/runtime/driver"
)

// Place publishes a private, writable copy of a cached disk at path.
func (d *Disks) Place(ctx context.Context, key, path string) error {
	const op = "place disk"
	if !validKey(key) {
		return &driver.Error{Class: driver.ErrInvalid, Op: op, Object: key, Err: errors.New("not a key")}
	}
	from, err := d.hold(key)
	if err != nil {
		return err
	}
	defer from.Close()
	draft, err := target.At(path).Draft(0o600)
	if err != nil {
		return wrap(op, path, err)
	}
	defer draft.Close()
	if err := clone(ctx, draft, from); err != nil {
		return wrap(op, path, err)
	}
	return publish(op, path, draft)
}

// hold opens a cached disk under a shared lock, so that Prune leaves it.
func (d *Disks) hold(key string) (*os.File, error) {
	f, err := os.Open(d.state.CachedDisk(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &driver.Error{Class: driver.ErrNotFound, Op: "find disk", Object: key}
	}
	if err != nil {
		return nil, wrap("open disk", key, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH); err != nil {
		f.Close()
		return nil, wrap("lock disk", key, err)
	}
	if !isFileAt(f, d.state.CachedDisk(key)) {
		f.Close()
		return nil, &driver.Error{Class: driver.ErrNotFound, Op: "find disk", Object: key}
	}
	return f, nil
}

// isFileAt says whether path still is the file f.
func isFileAt(f *os.File, path string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Lstat(path)
	return err == nil && os.SameFile(a, b)
}

const cloneStep = 16 << 20

// clone makes to a copy of from: by reflink where both are files and the file system can, else data by data with its
// holes kept. Blocks are shared where possible and never between the two as far as writing goes.
func clone(ctx context.Context, to target.Draft, from *os.File) error {
	file, isFile := to.(*target.FileDraft)
	if isFile && unix.IoctlFileClone(int(file.Fd()), int(from.Fd())) == nil {
		return nil
	}
	st, err := from.Stat()
	if err != nil {
		return err
	}
	if err := to.Truncate(st.Size()); err != nil {
		return err
	}
	for at := int64(0); at < st.Size(); {
		start, err := from.Seek(at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("find data: %w", err)
		}
		end, err := from.Seek(start, unix.SEEK_HOLE)
		if err != nil {
			return fmt.Errorf("find hole: %w", err)
		}
		for start < end {
			if err := ctx.Err(); err != nil {
				return err
			}
			n, err := cloneRange(to, from, start, min(end-start, cloneStep))
			if err != nil {
				return err
			}
			to.Writeback(start, n)
			start += n
		}
		at = end
	}
	return nil
}

// cloneRange copies up to n bytes, in the kernel where it can.
func cloneRange(to target.Draft, from *os.File, at, n int64) (int64, error) {
	if file, ok := to.(*target.FileDraft); ok {
		in, out := at, at
		k, err := unix.CopyFileRange(int(from.Fd()), &in, int(file.Fd()), &out, int(n), 0)
		if err == nil && k > 0 {
			return int64(k), nil
		}
		switch {
		case err == nil, errors.Is(err, unix.EXDEV), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EINVAL):
		default:
			return 0, err
		}
	}
	return io.CopyN(io.NewOffsetWriter(to, at), io.NewSectionReader(from, at, n), n)
}
