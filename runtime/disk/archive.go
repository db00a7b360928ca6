package disk

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"microagent/runtime/compress"
	"microagent/runtime/disk/layer"
	"microagent/runtime/driver"
)

// archiveWindow is how far a tar is decoded and hashed ahead of its unpacking.
const archiveWindow = 4 << 20

// readTar puts a tar into tree, by its content plain or compressed.
func (s *source) readTar(ctx context.Context, tree layer.Tree, h *hasher, marks *marks, p driver.Progress) (layer.Totals, error) {
	f, err := s.src.Files.Open(s.src.Path)
	if err != nil {
		return layer.Totals{}, err
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		return layer.Totals{}, err
	}
	marks.add("", before)
	sum := h.direct()
	ahead := layer.ReadAheadBy(ctx, archiveWindow, func(p []byte) { _, _ = sum.Write(p) }, func() (io.ReadCloser, error) { return decode(f) })
	totals, err := layer.Tar(ctx, tree, ahead, layer.Limits{}, p)
	ahead.Close()
	if err != nil {
		return totals, err
	}
	after, err := f.Stat()
	if err != nil {
		return totals, err
	}
	if !before.ModTime().Equal(after.ModTime()) || before.Size() != after.Size() {
		return totals, fmt.Errorf("%w: it changed while it was read", driver.ErrStale)
	}
	return totals, nil
}

// decode gives the tar stream in r.
func decode(r io.Reader) (io.ReadCloser, error) {
	z, err := compress.Open(r, compress.Limits{Formats: compress.Layers})
	if err != nil {
		return nil, err
	}
	if z.Format != compress.Plain {
		return z, nil
	}
	b := bufio.NewReaderSize(z, 512) // no larger than what is looked at: what it buffers is copied once more
	head, err := b.Peek(512)
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return nil, err
	case isTar(head):
		return io.NopCloser(b), nil
	case len(head) == 0:
		return nil, fmt.Errorf("%w: it is empty", driver.ErrCorrupt)
	case len(head) < 512:
		return nil, fmt.Errorf("%w: too short for a tar", driver.ErrInvalid)
	}
	return nil, fmt.Errorf("%w: neither a tar nor a tar in gzip or zstd", driver.ErrInvalid)
}

// isTar checks the sum of a tar header, which every variant has; an empty tar begins with zeros.
func isTar(head []byte) bool {
	if len(head) < 512 {
		return false
	}
	unsigned, signed, want, digits := int64(0), int64(0), int64(0), 0
	for i, c := range head[:512] {
		if i >= 148 && i < 156 {
			if c >= '0' && c <= '7' {
				want = want<<3 | int64(c-'0')
				digits++
			}
			c = ' '
		}
		unsigned += int64(c)
		signed += int64(int8(c))
	}
	if digits == 0 {
		return unsigned == 8*' '
	}
	return want == unsigned || want == signed
}
