package image

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"microagent/runtime/driver"
)

// zstdWindow is the largest window that is decoded: what `zstd --long=27` makes.
const zstdWindow = 128 << 20

type compression int

const (
	plain compression = iota
	gzipped
	zstded
)

// layerTypes are the media types of layers that are compressed so.
var layerTypes = map[compression]string{
	plain:   ocispec.MediaTypeImageLayer,
	gzipped: ocispec.MediaTypeImageLayerGzip,
	zstded:  ocispec.MediaTypeImageLayerZstd,
}

// sniff tells a stream's compression by its first bytes. What is neither gzip nor zstd is taken as it is, except
// for compressions that can be named and are not supported.
func sniff(head []byte) (compression, error) {
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return gzipped, nil
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}),
		len(head) >= 4 && head[0]&0xf0 == 0x50 && bytes.Equal(head[1:4], []byte{0x2a, 0x4d, 0x18}):
		return zstded, nil
	case bytes.HasPrefix(head, []byte("BZh")):
		return plain, fmt.Errorf("%w: it is compressed with bzip2; gzip and zstd are read", driver.ErrUnsupported)
	case bytes.HasPrefix(head, []byte("\xfd7zXZ")):
		return plain, fmt.Errorf("%w: it is compressed with xz; gzip and zstd are read", driver.ErrUnsupported)
	}
	return plain, nil
}

// decompress gives the plain bytes of r. Closing it does not close r.
func decompress(r io.Reader) (io.ReadCloser, compression, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	head, err := in.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, plain, err
	}
	c, err := sniff(head)
	if err != nil {
		return nil, c, err
	}
	switch c {
	case gzipped:
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, c, corruptf("gzip: %w", truncated(err))
		}
		return &decoder{Reader: z, close: z.Close}, c, nil
	case zstded:
		z, err := zstd.NewReader(in, zstd.WithDecoderMaxWindow(zstdWindow), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, c, corruptf("zstd: %w", truncated(err))
		}
		return &decoder{Reader: z, close: func() error { z.Close(); return nil }}, c, nil
	}
	return io.NopCloser(in), c, nil
}

// truncated gives io.EOF its right name: a stream that ends before its header does.
func truncated(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// decoder makes errors of the format ErrCorrupt.
type decoder struct {
	io.Reader
	close func() error
}

func (d *decoder) Read(p []byte) (int, error) {
	n, err := d.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = corruptf("decompress: %w", err)
	}
	return n, err
}

func (d *decoder) Close() error { return d.close() }
