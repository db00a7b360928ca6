package volume

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"microagent/runtime/compress"
	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/build"
	"microagent/runtime/disk/ext4/check"
	"microagent/runtime/disk/ext4/read"
	"microagent/runtime/disk/ext4/super"
	"microagent/runtime/disk/layer"
	"microagent/runtime/disk/sparse"
	"microagent/runtime/disk/target"
	"microagent/runtime/driver"
	"microagent/schema/quantity"
)

const opImport = "import volume"

// formats are those that an import reads.
var formats = []compress.Format{compress.Zstd, compress.Gzip, compress.XZ}

// headSize is how much of a stream tells what it holds.
const headSize = 4096

// Import makes a volume of a disk image or of a tar, whichever r is, packed or not. What a stream says of itself is not
// believed: nothing is written behind spec.Max, and the volume appears when all of it was read and is sound.
func (s *Store) Import(ctx context.Context, spec driver.ImportSpec, r io.Reader) (driver.Volume, error) {
	if spec.Size != 0 {
		if err := checkSize(opImport, spec.Name, spec.Size); err != nil {
			return driver.Volume{}, err
		}
	}
	unlock, err := s.lock(ctx, opImport, spec.Name)
	if err != nil {
		return driver.Volume{}, err
	}
	defer unlock()
	if err := s.free(opImport, spec.Name); err != nil {
		return driver.Volume{}, err
	}
	fresh := s.newRecord(spec.Name, "", 0)
	of := importing{spec, opImport, func(size int64) string { return "give it more: --size " + quantity.Size(size).Text() }}
	if err := s.make(&fresh, func(draft *target.FileDraft) error { return s.unpack(ctx, of, r, draft) }); err != nil {
		return driver.Volume{}, of.explain(err)
	}
	return s.born(&fresh)
}

// importing is an operation that makes a volume of a stream, with what to do where that needs a larger one.
type importing struct {
	driver.ImportSpec
	op     string
	larger func(size int64) string
}

// explain says what a stream that was refused is, and what to do.
func (spec importing) explain(err error) *driver.Error {
	if e, ok := errors.AsType[*driver.Error](err); ok && e.Op == spec.op {
		return e
	}
	e := &driver.Error{Op: spec.op, Object: spec.Name, Err: err, Next: driver.Next(err)}
	var room *build.NoSpaceError
	switch {
	case errors.As(err, &room):
		e.Class, e.Next = driver.ErrInvalid, spec.larger(room.Need)
	case isFull(err):
		e.Class, e.Next = driver.ErrNoSpace, driver.NextNoSpace
	case errors.Is(err, ext4.ErrUnsupported):
		e.Class, e.Next = driver.ErrUnsupported, "pack its files as a tar, and give that"
	case errors.Is(err, ext4.ErrCorrupt), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, driver.ErrCorrupt):
		e.Class, e.Next = driver.ErrCorrupt, "get a whole copy of it, or mend the image with e2fsck -f"
	case errors.Is(err, ext4.ErrInvalid):
		e.Class = driver.ErrInvalid
	}
	return e
}

// unpack tells what a stream is, and writes it into a draft.
func (s *Store) unpack(ctx context.Context, spec importing, r io.Reader, draft *target.FileDraft) error {
	plain, err := compress.Open(withoutHoles(ctx, r), compress.Limits{Formats: formats})
	if err != nil {
		return err
	}
	defer plain.Close()
	head := make([]byte, headSize)
	n, err := io.ReadFull(plain, head)
	if head = head[:n]; err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	if len(head) >= super.Offset+super.Size {
		switch sb, err := super.Parse(head[super.Offset:]); {
		case err == nil:
			return s.unpackImage(ctx, spec, head, plain, sb, draft)
		case !errors.Is(err, super.ErrNone):
			return fmt.Errorf("%w: %w", ext4.ErrCorrupt, err)
		}
	}
	if len(head) >= 512 && string(head[257:262]) == "ustar" {
		return s.unpackTar(ctx, spec, bufio.NewReaderSize(io.MultiReader(bytes.NewReader(head), plain), 1<<20), draft)
	}
	return &driver.Error{Class: driver.ErrInvalid, Op: spec.op, Object: spec.Name, Err: errors.New("it is neither an image of an ext4 file system nor a tar"),
		Next: "give an image of an ext4 file system, or a tar of files"}
}

// withoutHoles reads a file of the host past its holes, where it is one and nothing of it was read.
func withoutHoles(ctx context.Context, r io.Reader) io.Reader {
	f, ok := r.(*os.File)
	if !ok {
		return r
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return r
	}
	if at, err := f.Seek(0, io.SeekCurrent); err != nil || at != 0 {
		return r
	}
	return sparse.New(ctx, f, info)
}

// unpackImage writes an image, which begins with head, with its zeros as holes.
func (s *Store) unpackImage(ctx context.Context, spec importing, head []byte, in *compress.Reader, sb super.Superblock, draft *target.FileDraft) error {
	length := sb.Length()
	if length > spec.Max {
		return tooLarge(spec, length)
	}
	to := newScattered(draft, length)
	if err := to.write(head); err != nil {
		return err
	}
	for buf, more := make([]byte, exportStep), true; more; {
		if err := ctx.Err(); err != nil {
			return err
		}
		zeros, err := in.Skip()
		if err != nil {
			return err
		}
		to.at += zeros
		n := 0
		for want := len(buf) - int(to.at%int64(len(zeroBlock))); zeros == 0 && more && n < want; {
			k, err := in.Read(buf[n:want])
			n += k
			if more = !errors.Is(err, io.EOF); err != nil && more {
				return err
			}
		}
		if to.at+int64(n) > spec.Max {
			return tooLarge(spec, to.at+int64(n))
		}
		if err := to.write(buf[:n]); err != nil {
			return err
		}
	}
	if to.at < length {
		return &driver.Error{Class: driver.ErrCorrupt, Op: spec.op, Object: spec.Name, Next: "get a whole copy of it",
			Err: fmt.Errorf("it ends after %d bytes of the %d that its file system has", to.at, length)}
	}
	size := max(to.at, spec.Size)
	size += -size & (sizeStep - 1)
	if err := draft.Truncate(size); err != nil {
		return err
	}
	if err := recoverJournal(draft.File); err != nil {
		return err
	}
	return usable(draft, size)
}

func tooLarge(spec importing, size int64) error {
	e := &driver.Error{Class: driver.ErrRefused, Op: spec.op, Object: spec.Name,
		Err:  fmt.Errorf("it is a disk of %s or more, and at most %s is taken", quantity.Size(size), quantity.Size(spec.Max)),
		Next: "to take it all the same: --max-size, with a size that it fits in"}
	if spec.op != opImport {
		e.Next = spec.larger(size)
	}
	return e
}

// usable refuses a file system that a guest could not use as a volume.
func usable(draft *target.FileDraft, size int64) error {
	f, err := read.Open(draft, size)
	if err != nil {
		return err
	}
	switch sb := &f.Super; {
	case sb.ExternalJournal():
		return fmt.Errorf("%w: its journal lies on another device", ext4.ErrUnsupported)
	case sb.ReadOnly():
		return fmt.Errorf("%w: it was made to be mounted read-only", ext4.ErrUnsupported)
	case f.BlockSize > ext4.BlockSize:
		return fmt.Errorf("%w: blocks of %d bytes, which guests don't mount", ext4.ErrUnsupported, f.BlockSize)
	case sb.Incompat&(super.Encrypt|super.Casefold) != 0:
		return fmt.Errorf("%w: features that guests don't mount: %v", ext4.ErrUnsupported, sb.Incompat&(super.Encrypt|super.Casefold))
	}
	found, err := check.Check(draft, size)
	if len(found) > 0 {
		return fmt.Errorf("%w: %s", ext4.ErrCorrupt, found[0])
	}
	if errors.Is(err, ext4.ErrUnsupported) { // a guest's kernel knows more than this program
		return nil
	}
	return err
}

// unpackTar makes a file system of a tar's files.
func (s *Store) unpackTar(ctx context.Context, spec importing, in io.Reader, draft *target.FileDraft) error {
	size := spec.Size
	if size == 0 {
		size = driver.ImportTarSize
	}
	opt := build.Options{Size: size, Journal: true, Label: label(spec.Name), Time: time.Now()}
	_, _ = rand.Read(opt.UUID[:])
	_, _ = rand.Read(opt.HashSeed[:])
	opt.UUID[6] = opt.UUID[6]&0x0F | 0x40 // version 4: random
	opt.UUID[8] = opt.UUID[8]&0x3F | 0x80
	b, err := build.New(draft, opt)
	if err != nil {
		return err
	}
	defer b.Close()
	limits := layer.Limits{} // what does not fit on the disk is not written, and zeros take nothing of it
	if spec.Max < size {
		limits.Bytes = spec.Max
	}
	if _, err := layer.Tar(ctx, b, in, limits, nil); err != nil {
		return err
	}
	_, err = b.Finish()
	return err
}
