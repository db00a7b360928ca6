package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"microagent/runtime/frame"
)

// The control protocol: one connection a call. Both directions are frames of package frame. The client's first frame is a
// request. The server ends a call by a result, always.
//
//	'Q' JSON               client, first: the request
//	'i' bytes, 'e' empty   client: input, and its end
//	's' JSON               client: steering, of an exec that is steered
//	'g' four bytes         server: so many bytes more of input are welcome (big endian), of an exec that is steered
//	'o', 'r' bytes         server: stdout or the only stream, stderr
//	'R' JSON               server, last: the result
//
// The input of an exec that is steered never fills the connection, so that a signal never waits behind input that the
// process does not read. Other input does: the server reads it no faster than it can pass it on.
//
// The calls hello, status, logs, halt and kill keep their form for ever; the others need the same Version on both
// sides.
const (
	frameRequest  = 'Q'
	frameInput    = 'i'
	frameInputEnd = 'e'
	frameSteering = 's'
	frameGrant    = 'g'
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
