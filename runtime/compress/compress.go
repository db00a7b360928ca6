// Package compress reads compressed streams, and writes those of zstd: the one place that knows how compressions begin, go on and end.
//
// It promises that a stream is told by its first bytes and never by a name; that members follow each other (gzip and
// zstd files may be put together) and zeros may pad the last one of gzip, as on tapes; that what lies behind the end
// and is none of that is an error that says so; and that no header makes it allocate more than its bounds. Errors of
// the format are driver.ErrCorrupt, what is whole and not read is driver.ErrUnsupported, and errors of the reader
// below are passed on as they are.
package compress

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"microagent/runtime/driver"
)

// Format is a compression by the name of its program.
type Format string

const (
	Plain Format = "" // none that is known
	Gzip  Format = "gzip"
	Zstd  Format = "zstd"
	XZ    Format = "xz"
	Bzip2 Format = "bzip2" // told, and never read
	LZ4   Format = "lz4"   // the legacy frames of the Linux kernel
)

// foreign are formats that are told by their first bytes and never read.
var foreign = []struct {
	magic string
	name  Format
}{
	{"\x04\x22\x4D\x18", "lz4 (frames)"}, {"LZIP\x01", "lzip"}, {"\x1F\x9D", "compress (.Z)"}, {"\x89LZO\x00", "lzop"},
	{"\x5D\x00\x00\x80\x00", "lzma"}, {"PK\x03\x04", zip}, {"7z\xBC\xAF\x27\x1C", sevenZip},
}

// Archives of other kinds than tar.
const (
	zip      Format = "zip"
	sevenZip Format = "7z"
)

// SniffLength is how many first bytes Sniff looks at.
const SniffLength = 6

// maxWindow is the largest zstd window that is decoded, in bytes: what zstd --long=27 makes.
const maxWindow = 128 << 20

// Sniff tells a stream's compression by its first bytes.
func Sniff(head []byte) Format {
	switch {
	case bytes.HasPrefix(head, []byte{0x1F, 0x8B}):
		return Gzip
	case bytes.HasPrefix(head, []byte{0x28, 0xB5, 0x2F, 0xFD}), skippable(head):
		return Zstd
	case bytes.HasPrefix(head, []byte("\xFD7zXZ\x00")):
		return XZ
	case bytes.HasPrefix(head, []byte("BZh")):
		return Bzip2
	case bytes.HasPrefix(head, []byte{0x02, 0x21, 0x4C, 0x18}):
		return LZ4
	}
	for _, f := range foreign {
		if bytes.HasPrefix(head, []byte(f.magic)) {
			return f.name
		}
	}
	return Plain
}

// skippable says whether a zstd frame without content begins, which pzstd and others put first (RFC 8878, 3.1.2).
func skippable(head []byte) bool {
	return len(head) >= 4 && head[0]&0xF0 == 0x50 && bytes.Equal(head[1:4], []byte{0x2A, 0x4D, 0x18})
}

// Limits bound what is read.
type Limits struct {
	// Formats are those that are read, besides what is plain. One that is known and not among them is ErrUnsupported.
	Formats []Format
	// Size is how many bytes may come out; 0 is without bound. More are ErrCorrupt.
	Size int64
}

// Layers are the formats of image layers and of archives that users give.
var Layers = []Format{Gzip, Zstd}

// Kernels are the formats of Linux kernels, of their modules and of Debian's packages.
var Kernels = []Format{Gzip, Zstd, XZ, LZ4}

// Check says whether a format is read.
func (l Limits) Check(f Format) error {
	if f == Plain || slices.Contains(l.Formats, f) {
		return nil
	}
	names := make([]string, len(l.Formats))
	for i, f := range l.Formats {
		names[i] = string(f)
	}
	read := strings.Join(names, ", ")
	if i := strings.LastIndex(read, ", "); i >= 0 {
		read = read[:i] + " and " + read[i+2:]
	}
	if f == zip || f == sevenZip {
		return &driver.Error{
			Class: driver.ErrUnsupported, Op: "unpack", Err: fmt.Errorf("it is a %s archive and no tar", f),
			Next: "unpack it, and pack it as a tar",
		}
	}
	return &driver.Error{
		Class: driver.ErrUnsupported, Op: "unpack", Err: fmt.Errorf("it is compressed with %s; %s are read", f, read),
		Next: "pack it with one of those",
	}
}

// Reader gives the plain bytes of a stream.
type Reader struct {
	Format Format

	from  *source
	plain io.Reader
	zstd  *zstdFrames   // of that format
	ahead *bufio.Reader // of what is plain
	close func()
	limit int64 // < 0: none
	out   bool  // something came out
}

// Open tells what r is and reads its header. Closing the Reader does not close r.
func Open(r io.Reader, l Limits) (*Reader, error) {
	from := &source{r: r}
	in := bufio.NewReaderSize(from, 64<<10)
	head, err := in.Peek(SniffLength)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	z := &Reader{Format: Sniff(head), from: from, close: func() {}, limit: -1}
	if l.Size > 0 {
		z.limit = l.Size
	}
	if err := l.Check(z.Format); err != nil {
		return nil, err
	}
	if err := z.open(in); err != nil {
		return nil, z.explain(err)
	}
	return z, nil
}

func (z *Reader) open(in *bufio.Reader) (err error) {
	switch z.Format {
	case Plain:
		z.plain, z.ahead = in, in
	case Gzip:
		z.plain, err = openGzip(in)
	case Zstd:
		if z.zstd, err = openZstd(in); err == nil {
			z.plain, z.close = z.zstd, z.zstd.dec.Close
		}
	case XZ:
		z.plain, err = openXZ(in)
	case LZ4:
		z.plain, err = openLZ4(in)
	}
	return err
}

// Read gives io.EOF where the stream ends as its format has it, and nowhere else.
func (z *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if z.limit == 0 { // one byte more tells the end from too much
		var one [1]byte
		n, err := io.ReadFull(z.plain, one[:])
		switch {
		case n > 0:
			return 0, fmt.Errorf("%w: it unpacks to more bytes than it may", driver.ErrCorrupt)
		case errors.Is(err, io.EOF):
			return 0, io.EOF
		}
		return 0, z.explain(err)
	}
	if z.limit > 0 && int64(len(p)) > z.limit {
		p = p[:z.limit]
	}
	n, err := z.plain.Read(p)
	if z.limit > 0 {
		z.limit -= int64(n)
	}
	z.out = z.out || n > 0
	if err != nil && !errors.Is(err, io.EOF) {
		err = z.explain(err)
	}
	return n, err
}

// Skip passes over zeros that begin here and that cost no reading, and gives their number: frames of zeros, and the holes
// of a source that is not compressed and has a Skip of its own. 0 says nothing of what comes. Read gives those that are
// not passed over.
func (z *Reader) Skip() (n int64, err error) {
	switch {
	case z.limit >= 0:
	case z.zstd != nil:
		n = z.zstd.skip()
	case z.ahead != nil && z.ahead.Buffered() == 0:
		if from, ok := z.from.r.(interface{ Skip() (int64, error) }); ok {
			n, err = from.Skip()
		}
	}
	z.out = z.out || n > 0
	return n, err
}

// Close frees what decoding took.
func (z *Reader) Close() error {
	z.close()
	return nil
}

// explain gives an error its class: the source's is passed on, all others are the format's.
func (z *Reader) explain(err error) error {
	switch {
	case z.from.err != nil && !errors.Is(z.from.err, io.EOF):
		return z.from.err
	case err == nil, z.Format == Plain:
		return err
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fmt.Errorf("%w: its %s stream ends too early: %w", driver.ErrCorrupt, z.Format, io.ErrUnexpectedEOF)
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return &driver.Error{
			Class: driver.ErrUnsupported, Op: "unpack zstd",
			Err:  fmt.Errorf("its window is larger than %d MiB", maxWindow>>20),
			Next: "pack it with --long=27 or less",
		}
	case errors.Is(err, zstd.ErrUnknownDictionary):
		return &driver.Error{
			Class: driver.ErrUnsupported, Op: "unpack zstd", Err: errors.New("it was made with a dictionary"),
			Next: "pack it without one",
		}
	case errors.Is(err, zstd.ErrMagicMismatch) && z.out, errors.Is(err, errGarbage):
		return fmt.Errorf("%w: behind the end of its %s stream are other bytes", driver.ErrCorrupt, z.Format)
	}
	return fmt.Errorf("%w: %s: %w", driver.ErrCorrupt, z.Format, err)
}

// source remembers how reading from below ended, and ends so again: who looks ahead may pass over an error.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (n int, err error) {
	if s.err == nil {
		n, s.err = s.r.Read(p)
	}
	return n, s.err
}
