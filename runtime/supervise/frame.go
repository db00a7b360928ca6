package supervise

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// The control protocol: one connection a call. Both directions are frames: one byte of type, the length in four bytes
// (big endian), as many bytes. The client's first frame is a Request. The server ends a call by a Result, always.
//
//	'Q' Request            client, first
//	'i' bytes, 'e' empty   client: input, and its end
//	'o', 'r' bytes         server: stdout or the only stream, stderr
//	'R' Result             server, last
//
// The calls hello, status, logs, halt and kill keep their form for ever; the others need the same Version on both
// sides.
const (
	frameRequest  = 'Q'
	frameInput    = 'i'
	frameInputEnd = 'e'
	frameOut      = 'o'
	frameErr      = 'r'
	frameResult   = 'R'

	frameHeader = 5
	maxFrame    = 1 << 20
	chunk       = 32 << 10
)

// channel is one end of a control connection. Frames may be sent by several goroutines.
type channel struct {
	rw io.ReadWriter
	mu sync.Mutex
}

func (c *channel) send(kind byte, payload []byte) error {
	if len(payload) > maxFrame {
		return fmt.Errorf("control: a frame of %d bytes", len(payload))
	}
	buf := make([]byte, frameHeader, frameHeader+len(payload))
	buf[0] = kind
	binary.BigEndian.PutUint32(buf[1:], uint32(len(payload)))
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.rw.Write(append(buf, payload...))
	return err
}

func (c *channel) sendJSON(kind byte, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return c.send(kind, data)
}

// receive reads one frame. A connection that ends is io.EOF between frames and io.ErrUnexpectedEOF within one.
func (c *channel) receive() (kind byte, payload []byte, err error) {
	var h [frameHeader]byte
	if _, err := io.ReadFull(c.rw, h[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(h[1:])
	if n > maxFrame {
		return 0, nil, fmt.Errorf("control: a frame of %d bytes", n)
	}
	payload = make([]byte, n)
	if _, err := io.ReadFull(c.rw, payload); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	return h[0], payload, nil
}

// writer sends bytes as frames of one kind.
type frameWriter struct {
	c    *channel
	kind byte
}

func (w frameWriter) Write(p []byte) (int, error) {
	for sent := 0; sent < len(p); {
		n := min(len(p)-sent, chunk)
		if err := w.c.send(w.kind, p[sent:sent+n]); err != nil {
			return sent, err
		}
		sent += n
	}
	return len(p), nil
}

// inputReader gives the bytes of input frames up to the end frame. Any other frame, and a connection that ends
// before, is an error.
type inputReader struct {
	c    *channel
	rest []byte
	err  error
}

func (r *inputReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		kind, payload, err := r.c.receive()
		switch {
		case errors.Is(err, io.EOF):
			r.err = io.ErrUnexpectedEOF
		case err != nil:
			r.err = err
		case kind == frameInput:
			r.rest = payload
		case kind == frameInputEnd:
			r.err = io.EOF
		default:
			r.err = fmt.Errorf("control: a frame of type %q in the input", kind)
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}
