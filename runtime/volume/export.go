package volume

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"math"
	"os"

	"golang.org/x/sys/unix"

	"microagent/runtime/compress"
	"microagent/runtime/disk/ext4/read"
	"microagent/runtime/disk/target"
	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

// exportStep is how much is read at a time.
const exportStep = 1 << 20

const opExport = "export volume"

// Export writes a source's content, of one moment, to w. In a tar that goes to a draft the zeros of files are holes.
func (s *Store) Export(ctx context.Context, source string, as driver.ExportForm, w io.Writer) (driver.Exported, error) {
	name, _ := cut(source)
	unlock, err := s.lock(ctx, opExport, name)
	if err != nil {
		return driver.Exported{}, err
	}
	defer unlock()
	var out driver.Exported
	err = s.quietly(ctx, opExport, source, func(image *os.File) error {
		info, err := image.Stat()
		if err != nil {
			return err
		}
		f, err := read.Open(image, info.Size())
		if err != nil {
			return err
		}
		to, end := w, func() error { return nil }
		if draft, ok := w.(*layout.Draft); ok && as == driver.ExportTar {
			holes := newScattered(&target.FileDraft{Draft: draft}, math.MaxInt64)
			to, end = holes, holes.end
		}
		counted := &counter{w: to, ctx: ctx, source: source}
		buffered := bufio.NewWriterSize(counted, 1<<20)
		if as == driver.ExportTar {
			out.LeftOut, err = writeTar(ctx, f, buffered, false)
		} else {
			err = writeImage(ctx, f, image, info.Size(), buffered)
		}
		if err == nil {
			err = buffered.Flush()
		}
		if err == nil {
			err = end()
		}
		out.Size, out.Written = info.Size(), counted.n
		return err
	})
	return out, wrap(opExport, source, err)
}

// quietly gives do an image whose journal is empty, and that nobody changes: the source's own, or a copy that has no name.
func (s *Store) quietly(ctx context.Context, op, source string, do func(image *os.File) error) error {
	var draft *target.FileDraft
	defer func() {
		if draft != nil {
			draft.Close()
		}
	}()
	err := s.reading(ctx, op, source, func(ctx context.Context, image origin) error {
		rests, err := image.rests()
		if err != nil {
			return err
		}
		if rests {
			return do(image.File)
		}
		draft, err = s.nameless(ctx, image)
		return err
	})
	if err != nil || draft == nil {
		return err
	}
	if err := recoverJournal(draft.File); err != nil {
		return err
	}
	return do(draft.File)
}

// nameless is a copy that nobody else sees.
func (s *Store) nameless(ctx context.Context, image origin) (*target.FileDraft, error) {
	draft, err := target.File(s.State.VolumeImage("draft")).Nameless(0o600)
	if err != nil {
		return nil, err
	}
	if err := image.copyTo(ctx, draft); err != nil {
		draft.Close()
		return nil, err
	}
	return draft, nil
}

// counter counts what is written until its context ends. The kernel is told early to write what goes to a file.
type counter struct {
	ctx    context.Context
	w      io.Writer
	n      int64
	told   int64  // up to where the kernel was told
	source string // that is exported, for errors
}

func (c *counter) Write(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.w.Write(p)
	c.n += int64(n)
	if f, ok := c.w.(interface{ Fd() uintptr }); ok && c.n-c.told >= writeStep {
		_ = unix.SyncFileRange(int(f.Fd()), c.told, c.n-c.told, unix.SYNC_FILE_RANGE_WRITE) // of a pipe it does nothing
		c.told = c.n
	}
	if isFull(err) {
		err = &driver.Error{Class: driver.ErrNoSpace, Op: opExport, Object: c.source, Err: err, Next: "free some space where the file goes"}
	}
	return n, err
}

// writeImage writes an image of size bytes with zstd; what no file has, and what is a hole, is zeros.
func writeImage(ctx context.Context, f *read.FS, image *os.File, size int64, w io.Writer) error {
	z, err := compress.NewZstd(w)
	if err != nil {
		return err
	}
	at := int64(0)
	for run, err := range f.Used() {
		if err != nil {
			return err
		}
		for from, end := run.Physical, run.Physical+run.Length; from < end; {
			start, stop, err := target.DataFrom(image, from, end)
			if err != nil {
				return err
			}
			z.Zeros(start - at)
			if err := writeData(ctx, z, image, start, stop); err != nil {
				return err
			}
			at, from = stop, stop
		}
	}
	z.Zeros(size - at)
	return z.Close()
}

// writeData writes bytes of an image, of which those that are zero may be found to be.
func writeData(ctx context.Context, z *compress.ZstdWriter, image *os.File, from, to int64) error {
	buf := make([]byte, min(exportStep, to-from))
	for from < to {
		if err := ctx.Err(); err != nil {
			return err
		}
		b := buf[:min(int64(len(buf)), to-from)]
		if _, err := image.ReadAt(b, from); err != nil {
			return err
		}
		if allZero(b) {
			z.Zeros(int64(len(b)))
		} else if _, err := z.Write(b); err != nil {
			return err
		}
		from += int64(len(b))
	}
	return nil
}

var zeroBlock [4096]byte

func allZero(b []byte) bool {
	for len(b) > len(zeroBlock) {
		if !bytes.Equal(b[:len(zeroBlock)], zeroBlock[:]) {
			return false
		}
		b = b[len(zeroBlock):]
	}
	return bytes.Equal(b, zeroBlock[:len(b)])
}
