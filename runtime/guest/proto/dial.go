package proto

import (
	"context"
	"sync"
	"sync/atomic"

	"microagent/runtime/guest/proto/wire"
)

const (
	// maxIdle is how many streams are kept for connections to come. One takes some 80 KiB on both sides.
	maxIdle = 32
	// maxOpening is how many streams are opened at a time: a VMM lets few wait in its socket's queue, and a guest that gets
	// hundreds at once is done with the first when it is done with the last.
	maxOpening = 16
)

// Connection is one to a server in the guest. The end of either direction is passed on as that, and so is a reset: as
// an error of Read, and from here by Close before CloseWrite.
type Connection struct {
	*Stream
	idle   *streams
	over   atomic.Bool
	closed atomic.Bool
}

// Dial connects to a server in the guest, and does not wait for it: what is written goes to the server that takes the
// connection, and where none does the first Read says so, CodeNotFound. Of a port of UDP the stream carries Datagrams.
func (s *Session) Dial(ctx context.Context, port Port) (*Connection, error) {
	op := "dial port " + port.String() + " in guest"
	if err := s.hasPorts(op); err != nil {
		return nil, err
	}
	h := &wire.StreamHeader{Kind: KindDial, Ports: []*wire.Port{port.wire()}}
	if st := s.streams.begin(h); st != nil {
		return &Connection{Stream: st, idle: s.streams}, nil
	}
	select {
	case s.streams.opening <- struct{}{}:
		defer func() { <-s.streams.opening }()
	case <-ctx.Done():
		return nil, streamError(op, context.Cause(ctx))
	}
	if st := s.streams.begin(h); st != nil { // one that came to its end meanwhile
		return &Connection{Stream: st, idle: s.streams}, nil
	}
	st, err := openStream(ctx, s.dial, func(st *Stream) error { return st.begin(h) })
	if err != nil {
		return nil, streamError(op, err)
	}
	return &Connection{Stream: st, idle: s.streams}, nil
}

// Over waits, after the end of what the guest sends, until it has let go of the connection. nil when all that was
// written before CloseWrite has reached the server.
func (c *Connection) Over() error {
	if err := c.r.over(); err != nil {
		return err
	}
	if !c.w.again() {
		return &FrameError{"is over before we said so"}
	}
	c.over.Store(true)
	return nil
}

// Close ends the connection, whatever state it is in. Of one that is over the stream is kept for another.
func (c *Connection) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	if c.over.Load() && c.idle.put(c.Stream) {
		return nil
	}
	return c.Stream.Close()
}

// streams are those of dials: the ones that are opened, and the ones whose connection is over.
type streams struct {
	opening chan struct{} // one each

	mu    sync.Mutex
	idle  []*Stream
	ended bool
}

func newStreams() *streams { return &streams{opening: make(chan struct{}, maxOpening)} }

// begin sends a header on a stream that is idle; nil when there is none.
func (s *streams) begin(h *wire.StreamHeader) *Stream {
	for {
		st := s.take()
		if st == nil || st.begin(h) == nil {
			return st
		}
		_ = st.Close() // it went with the guest
	}
}

// take gives the one that was used last; nil when there is none.
func (s *streams) take() *Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := len(s.idle) - 1
	if last < 0 {
		return nil
	}
	st := s.idle[last]
	s.idle[last] = nil
	s.idle = s.idle[:last]
	return st
}

// put is false where there is no room.
func (s *streams) put(st *Stream) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || len(s.idle) >= maxIdle {
		return false
	}
	s.idle = append(s.idle, st)
	return true
}

// end closes all, and lets nothing in any more.
func (s *streams) end() {
	s.mu.Lock()
	idle := s.idle
	s.idle, s.ended = nil, true
	s.mu.Unlock()
	for _, st := range idle {
		_ = st.Close()
	}
}

// Next waits until the host asks for another connection on this stream, after both ends of one.
func (s *Stream) Next() (*wire.StreamHeader, error) {
	if !s.w.again() {
		return nil, &FrameError{"another connection before the end of one"}
	}
	if err := s.w.frame(frameNext, nil); err != nil {
		return nil, err
	}
	s.r.err = nil
	return s.r.header()
}
