package proto

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	"microagent/runtime/guest/proto/wire"
)

// Stream is one connection of framed bytes. Read and Write may be used at the same time.
type Stream struct {
	conn net.Conn
	r    *frameReader
	w    *frameWriter
}

func newStream(conn net.Conn) *Stream {
	return &Stream{conn: conn, r: newFrameReader(conn), w: newFrameWriter(conn)}
}

// Read gives io.EOF at the framed end only; see the package comment for the others.
func (s *Stream) Read(p []byte) (int, error) { return s.r.Read(p) }

func (s *Stream) Write(p []byte) (int, error) { return s.w.Write(p) }

// WriteInPlace is Write of b without its first frame.PrefixSize bytes, and copies nothing: it overwrites these, and more of b.
func (s *Stream) WriteInPlace(b []byte) error { return s.w.writeInPlace(b) }

// CloseWrite sends the end of this direction.
func (s *Stream) CloseWrite() error {
	if err := s.w.frame(frameEnd, nil); !errors.Is(err, errEnded) {
		return err
	}
	return nil
}

// HoldOk answers a header together with what is written next.
func (s *Stream) HoldOk() error { return s.w.hold(frameOK, nil) }

// WriteLast writes p, of MaxData bytes at most, and the end of this direction.
func (s *Stream) WriteLast(p []byte) error {
	if len(p) > 0 {
		if err := s.w.hold(frameData, p); err != nil {
			return err
		}
	}
	return s.CloseWrite()
}

// Fail ends this direction with an error.
func (s *Stream) Fail(err error) error {
	msg := &wire.StreamError{Code: string(CodeFailed), Message: err.Error()}
	if ge, ok := errors.AsType[*GuestError](err); ok {
		msg.Code = string(ge.Code)
	}
	if len(msg.Message) > MaxText {
		msg.Message = msg.Message[:MaxText]
	}
	msg.Message = strings.ToValidUTF8(msg.Message, "?")
	return s.w.message(frameError, msg)
}

// Close ends the connection, whatever state it is in.
func (s *Stream) Close() error { return s.conn.Close() }

// Accept reads the header of a connection to the stream port. The answer is the caller's: Ok, or Fail.
func Accept(conn net.Conn, patience time.Duration) (*wire.StreamHeader, *Stream, error) {
	s := newStream(conn)
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, nil, err
	}
	h, err := s.r.header()
	if err != nil {
		return nil, nil, err
	}
	return h, s, conn.SetReadDeadline(time.Time{})
}

// Ok answers a header.
func (s *Stream) Ok() error { return s.w.frame(frameOK, nil) }

// open dials the stream port and has the header answered.
func open(ctx context.Context, dial Dialer, h *wire.StreamHeader) (*Stream, error) {
	return openStream(ctx, dial, func(s *Stream) error {
		if err := s.w.message(frameHeader, h); err != nil {
			return err
		}
		return s.r.ok()
	})
}

// begin sends a header and leaves the answer to the first Read, so that what is written goes with the header.
func (s *Stream) begin(h *wire.StreamHeader) error {
	s.r.owed = true
	return s.w.message(frameHeader, h)
}

func openStream(ctx context.Context, dial Dialer, begin func(*Stream) error) (*Stream, error) {
	conn, err := dial(ctx, StreamPort)
	if err != nil {
		return nil, err
	}
	s := newStream(conn)
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	err = begin(s)
	if !stop() {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return s, nil
}

// DrainInput throws away what the peer sends, whatever it is, until it closes the connection or ours is closed.
func (s *Stream) DrainInput() { _, _ = io.Copy(io.Discard, s.r.r) }
