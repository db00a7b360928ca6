package target

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

const (
	copyStep = 16 << 20 // is copied between two looks at the context
	// copyWriteback is after how many bytes the kernel is told to write them: what is smaller goes out at once, by fsync.
	copyWriteback = 8 << 20
)

// Copy makes to a copy of from: by reflink where both are files and the file system can, else data by data with its
// holes kept. Blocks are shared where possible and never between the two as far as writing goes. The copy ends with its
// context.
func Copy(ctx context.Context, to Draft, from *os.File) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if file, ok := to.(*FileDraft); ok && unix.IoctlFileClone(int(file.Fd()), int(from.Fd())) == nil {
		return nil
	}
	size, err := from.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if err := to.Truncate(size); err != nil {
		return err
	}
	var copied, told int64 // bytes since the kernel was told, and up to where it was
	for at := int64(0); at < size; {
		start, end, err := DataFrom(from, at, size)
		if err != nil || start == end {
			return err
		}
		for start < end {
			if err := ctx.Err(); err != nil {
				return err
			}
			n, err := copyRange(to, from, start, min(end-start, copyStep))
			if err != nil {
				return err
			}
			start += n
			if copied += n; copied >= copyWriteback {
				to.Writeback(told, start-told)
				copied, told = 0, start
			}
		}
		at = end
	}
	return nil
}

// DataFrom is where the first data at or behind at begins and ends; nothing behind size counts, and both are size where
// there is no more. What is no file with holes is data throughout.
func DataFrom(f *os.File, at, size int64) (start, end int64, err error) {
	start, err = unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		return size, size, nil
	case errors.Is(err, unix.EINVAL): // a device
		return at, size, nil
	case err != nil:
		return 0, 0, fmt.Errorf("find data: %w", err)
	}
	if end, err = unix.Seek(int(f.Fd()), start, unix.SEEK_HOLE); err != nil {
		return 0, 0, fmt.Errorf("find hole: %w", err)
	}
	return min(start, size), min(end, size), nil
}

// copyRange copies up to n bytes, in the kernel where it can.
func copyRange(to Draft, from *os.File, at, n int64) (int64, error) {
	if file, ok := to.(*FileDraft); ok {
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
