// Package packets is how the IP packets of a guest's interface travel over a stream: frames of package frame, of which
// each is one packet. Both ends use it, the agent in the guest and the stack on the host.
//
// Promised: no frame makes a reader take more than MaxSize bytes, and one of a kind that is not known is skipped, so that
// later versions can say more. What a packet holds nobody here looks at. It imports the standard library and frame alone.
package packets

import (
	"bufio"
	"io"

	"microagent/runtime/frame"
)

// Kind is of frames that are packets, without any header before that of IP.
const Kind = 'P'

// MaxSize bounds a packet, in bytes: what IP can say of its own length.
const MaxSize = 65535

// Room is how many bytes of a Batch one packet takes at most.
const Room = frame.PrefixSize + MaxSize

// Batch gathers packets, so that all that wait go in one write. Its zero value is empty.
type Batch struct {
	buf []byte // with room before for what the stream puts there
	n   int
}

// batchSize is how much a batch gathers, in bytes: about what one frame of a stream holds.
const batchSize = 60 << 10

// Fill adds packets by read, which puts one into its argument and gives its size, until the batch is large or read gives
// an error or 0.
func (b *Batch) Fill(read func([]byte) (int, error)) error {
	if b.buf == nil {
		b.buf = make([]byte, frame.PrefixSize+batchSize+Room)
	}
	for b.n < batchSize {
		at := b.buf[frame.PrefixSize+b.n:][:Room]
		size, err := read(at[frame.PrefixSize:])
		if size > 0 {
			frame.PutPrefix(at, Kind, size)
			b.n += frame.PrefixSize + size
		}
		if err != nil || size <= 0 {
			return err
		}
	}
	return nil
}

// Len is how many bytes were gathered.
func (b *Batch) Len() int { return b.n }

// inPlace is a stream that puts its own prefix before what is written, and may overwrite that.
type inPlace interface{ WriteInPlace(b []byte) error }

// Send writes what was gathered, in one write, and empties the batch.
func (b *Batch) Send(w io.Writer) error {
	if b.n == 0 {
		return nil
	}
	all := b.buf[:frame.PrefixSize+b.n]
	b.n = 0
	if s, ok := w.(inPlace); ok {
		return s.WriteInPlace(all)
	}
	_, err := w.Write(all[frame.PrefixSize:])
	return err
}

// Reader gives the packets of a stream.
type Reader struct {
	r    *bufio.Reader
	held int // of r's buffer, by what Next gave
}

// NewReader begins with the next byte of r.
func NewReader(r io.Reader) *Reader { return &Reader{r: bufio.NewReaderSize(r, Room)} }

// Next gives the next packet, up to the next call. io.EOF where the stream ends between packets, io.ErrUnexpectedEOF
// within one, *frame.TooLargeError.
func (r *Reader) Next() ([]byte, error) {
	for {
		_, _ = r.r.Discard(r.held) // which is in the buffer
		r.held = 0
		kind, size, err := frame.Prefix(r.r, MaxSize)
		if err != nil {
			return nil, err
		}
		p, err := r.r.Peek(size)
		if err != nil {
			return nil, frame.Cut(err)
		}
		if r.held = size; kind == Kind {
			return p, nil
		}
	}
}
