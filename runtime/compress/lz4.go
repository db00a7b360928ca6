package compress

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/pierrec/lz4/v4"
)

// lz4Block is what a block of a legacy frame unpacks to, but for the last (lz4_Frame_format.md, Legacy frame).
const lz4Block = 8 << 20

// lz4Legacy reads blocks of a length and data, without an end mark. Kernels have theirs like that.
type lz4Legacy struct {
	in     *bufio.Reader
	packed []byte
	block  []byte
	rest   []byte
}

func openLZ4(in *bufio.Reader) (io.Reader, error) {
	if _, err := in.Discard(4); err != nil {
		return nil, err
	}
	return &lz4Legacy{in: in, block: make([]byte, lz4Block)}, nil
}

func (l *lz4Legacy) Read(p []byte) (int, error) {
	for len(l.rest) == 0 {
		if err := l.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

func (l *lz4Legacy) next() error {
	var length [4]byte
	if _, err := io.ReadFull(l.in, length[:]); err != nil {
		return err // io.EOF between blocks is the end
	}
	n := int(binary.LittleEndian.Uint32(length[:]))
	if n == 0 || n > lz4.CompressBlockBound(lz4Block) {
		return fmt.Errorf("a block of %d bytes", n)
	}
	if cap(l.packed) < n {
		l.packed = make([]byte, n)
	}
	if _, err := io.ReadFull(l.in, l.packed[:n]); err != nil {
		return noEOF(err)
	}
	m, err := lz4.UncompressBlock(l.packed[:n], l.block)
	if err != nil {
		return errors.Join(errors.New("damaged block"), err)
	}
	l.rest = l.block[:m]
	return nil
}
