package compress

import (
	"bufio"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
)

// errGarbage says that there is something behind the last member.
var errGarbage = errors.New("garbage behind the end")

// gzipMembers reads one member after the other. gzip(1) takes zeros behind the last one for padding.
type gzipMembers struct {
	in *bufio.Reader
	z  *gzip.Reader
}

func openGzip(in *bufio.Reader) (io.Reader, error) {
	z, err := gzip.NewReader(in)
	if err != nil {
		return nil, err
	}
	z.Multistream(false)
	return &gzipMembers{in, z}, nil
}

func (m *gzipMembers) Read(p []byte) (int, error) {
	for {
		n, err := m.z.Read(p)
		if n > 0 || !errors.Is(err, io.EOF) {
			if errors.Is(err, io.EOF) {
				err = nil // what comes next is seen when it is asked for
			}
			return n, err
		}
		if err := m.next(); err != nil {
			return 0, err
		}
	}
}

// next begins the next member, or gives io.EOF where there is none.
func (m *gzipMembers) next() error {
	head, err := m.in.Peek(2)
	switch {
	case len(head) == 0:
		return err
	case Sniff(head) == Gzip:
		if err := m.z.Reset(m.in); err != nil {
			return noEOF(err)
		}
		m.z.Multistream(false)
		return nil
	}
	for {
		b, err := m.in.ReadByte()
		if err != nil {
			return err
		}
		if b != 0 {
			return errGarbage
		}
	}
}

// noEOF is for an end in the middle of something.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
