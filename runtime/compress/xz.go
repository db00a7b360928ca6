package compress

import (
	"bufio"
	"errors"
	"io"

	"github.com/ulikunitz/xz"
)

// xzStream holds the library to the format: it takes an end between two blocks, before the index, for the stream's.
type xzStream struct {
	plain io.Reader
	tail  *tail
}

func openXZ(in *bufio.Reader) (io.Reader, error) {
	t := &tail{in: in}
	plain, err := xz.NewReader(t)
	return &xzStream{plain, t}, err
}

func (x *xzStream) Read(p []byte) (int, error) {
	n, err := x.plain.Read(p)
	if errors.Is(err, io.EOF) && x.tail.last != [2]byte{'Y', 'Z'} { // every stream's footer ends so
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// tail remembers the last bytes that were read, without the zeros that may pad a stream.
type tail struct {
	in   *bufio.Reader
	last [2]byte
}

func (t *tail) see(b byte) {
	if b != 0 {
		t.last[0], t.last[1] = t.last[1], b
	}
}

func (t *tail) Read(p []byte) (int, error) {
	n, err := t.in.Read(p)
	for _, b := range p[:n] {
		t.see(b)
	}
	return n, err
}

func (t *tail) ReadByte() (byte, error) {
	b, err := t.in.ReadByte()
	if err == nil {
		t.see(b)
	}
	return b, err
}
