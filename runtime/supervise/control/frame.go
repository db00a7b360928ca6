package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"microagent/runtime/frame"
)

// The control protocol: one connection a call. Both directions are frames of package frame. The client's first frame is a
// Request. The server ends a call by a Result, always.
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

	maxFrame = 1 << 20
	chunk    = 32 << 10
)

// channel is one end of a control connection. Frames may be sent by several goroutines.
type channel struct {
	rw  io.ReadWriter
	out frame.Writer
}

func newChannel(rw io.ReadWriter) *channel {
	return &channel{rw: rw, out: frame.Writer{W: rw, Limit: maxFrame}}
}

func (c *channel) send(kind byte, payload []byte) error { return tooLarge(c.out.Send(kind, payload)) }

func (c *channel) sendJSON(kind byte, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return c.send(kind, data)
}

// receive reads one frame. A connection that ends is io.EOF between frames and io.ErrUnexpectedEOF within one.
func (c *channel) receive() (kind byte, payload []byte, err error) {
	kind, payload, err = frame.Read(c.rw, maxFrame)
	return kind, payload, tooLarge(err)
}

func tooLarge(err error) error {
	if _, ok := errors.AsType[*frame.TooLargeError](err); ok {
		return fmt.Errorf("control: %w", err)
	}
	return err
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
