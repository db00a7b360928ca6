package read

import (
	"bytes"
	"io"

	"microagent/runtime/disk/ext4/format"
)

// Overlay shows an image with other blocks over its own.
type Overlay struct {
	R      io.ReaderAt
	Size   int64 // of a block
	Blocks map[uint64]Replaced
}

// Replaced is what a block of an overlay holds.
type Replaced struct {
	Data []byte // nil: what lies at a byte of the image
	at   int64
	// escaped blocks lie in the journal with their first four bytes, the journal's magic number, zeroed.
	escaped bool
}

var _ io.ReaderAt = (*Overlay)(nil)

// ReadAt implements io.ReaderAt.
func (o *Overlay) ReadAt(p []byte, off int64) (int, error) {
	if len(o.Blocks) == 0 {
		return o.R.ReadAt(p, off)
	}
	total := len(p)
	for len(p) > 0 {
		within := off % o.Size
		b, over := o.Blocks[uint64(off/o.Size)]
		n := min(int64(len(p)), o.Size-within)
		if over {
			if err := o.read(p[:n], b, within); err != nil {
				return total - len(p), err
			}
			p, off = p[n:], off+n
			continue
		}
		for n < int64(len(p)) {
			if _, over := o.Blocks[uint64((off+n)/o.Size)]; over {
				break
			}
			n = min(n+o.Size, int64(len(p)))
		}
		if k, err := o.R.ReadAt(p[:n], off); k < int(n) {
			return total - len(p) + k, err
		}
		p, off = p[n:], off+n
	}
	return total, nil
}

func (o *Overlay) read(p []byte, b Replaced, within int64) error {
	if b.Data != nil {
		copy(p, b.Data[within:])
		return nil
	}
	if err := format.ReadFull(o.R, p, b.at+within); err != nil {
		return err
	}
	if b.escaped && within < 4 {
		copy(p, format.BE.AppendUint32(nil, format.JournalMagic)[within:])
	}
	return nil
}

// SameBytes says whether the image holds data at a byte already.
func SameBytes(r io.ReaderAt, data []byte, at int64) bool {
	have := make([]byte, len(data))
	return format.ReadFull(r, have, at) == nil && bytes.Equal(have, data)
}
