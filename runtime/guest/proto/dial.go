package proto

import (
	"context"
	"sync"
	"sync/atomic"

	"microagent/runtime/guest/proto/wire"
)

// maxIdle is how many streams are kept for connections to come. One takes some 80 KiB on both sides.
const maxIdle = 32

// Connection is one to a server in the guest. The end of either direction is passed on as that, and so is a reset: as
// an error of Read, and from here by Close before CloseWrite.
type Connection struct {
	*Stream
	idle   *idle
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
	for st := s.idle.take(); st != nil; st = s.idle.take() {
		if st.begin(h) == nil {
			return &Connection{Stream: st, idle: &s.idle}, nil
		}
		_ = st.Close() // it went with the guest
	}
	st, err := openStream(ctx, s.dial, func(st *Stream) error { return st.begin(h) })
	if err != nil {
		return nil, streamError(op, err)
	}
	return &Connection{Stream: st, idle: &s.idle}, nil
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

// idle are streams whose connection is over.
type idle struct {
	mu      sync.Mutex
	streams []*Stream
	ended   bool
}

// take gives the one that was used last; nil when there is none.
func (i *idle) take() *Stream {
	i.mu.Lock()
	defer i.mu.Unlock()
	last := len(i.streams) - 1
	if last < 0 {
		return nil
	}
	st := i.streams[last]
	i.streams[last] = nil
	i.streams = i.streams[:last]
	return st
}

// put is false where there is no room.
func (i *idle) put(st *Stream) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ended || len(i.streams) >= maxIdle {
		return false
	}
	i.streams = append(i.streams, st)
	return true
}

// end closes all, and lets nothing in any more.
func (i *idle) end() {
	i.mu.Lock()
	streams := i.streams
	i.streams, i.ended = nil, true
	i.mu.Unlock()
	for _, st := range streams {
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
