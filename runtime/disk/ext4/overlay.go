package ext4

import (
	"bytes"
	"io"
)

// overlay shows an image with other blocks over its own.
type overlay struct {
	r      io.ReaderAt
	size   int64 // of a block
	blocks map[uint64]replaced
}

// replaced is what a block of an overlay holds.
type replaced struct {
	data []byte // nil: what lies at a byte of the image
	at   int64
	// escaped blocks lie in the journal with their first four bytes, the journal's magic number, zeroed.
	escaped bool
}

var _ io.ReaderAt = (*overlay)(nil)

func (o *overlay) ReadAt(p []byte, off int64) (int, error) {
	if len(o.blocks) == 0 {
		return o.r.ReadAt(p, off)
	}
	total := len(p)
	for len(p) > 0 {
		within := off % o.size
		b, over := o.blocks[uint64(off/o.size)]
		n := min(int64(len(p)), o.size-within)
		if over {
			if err := o.read(p[:n], b, within); err != nil {
				return total - len(p), err
			}
			p, off = p[n:], off+n
			continue
		}
		for n < int64(len(p)) {
			if _, over := o.blocks[uint64((off+n)/o.size)]; over {
				break
			}
			n = min(n+o.size, int64(len(p)))
		}
		if k, err := o.r.ReadAt(p[:n], off); k < int(n) {
			return total - len(p) + k, err
		}
		p, off = p[n:], off+n
	}
	return total, nil
}

func (o *overlay) read(p []byte, b replaced, within int64) error {
	if b.data != nil {
		copy(p, b.data[within:])
		return nil
	}
	if err := readFull(o.r, p, b.at+within); err != nil {
		return err
	}
	if b.escaped && within < 4 {
		copy(p, be.AppendUint32(nil, journalMagic)[within:])
	}
	return nil
}

// sameBytes says whether the image holds data at a byte already.
func sameBytes(r io.ReaderAt, data []byte, at int64) bool {
	have := make([]byte, len(data))
	return readFull(r, have, at) == nil && bytes.Equal(have, data)
}
