package serialmux

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/hashicorp/yamux"
)

// HostSession dials ports of one boot of the guest.
type HostSession struct {
	mux  *yamux.Session
	work work
}

// Dial connects to a port. A *RefusedError says that nobody listens there. It waits for the guest until ctx ends.
func (s *HostSession) Dial(ctx context.Context, port uint32) (*Conn, error) {
	type result struct {
		stream *yamux.Stream
		err    error
	}
	opened := make(chan result, 1)
	s.work.run(func() {
		stream, err := s.mux.OpenStream()
		opened <- result{stream, err}
	})
	select {
	case <-s.mux.CloseChan():
		return nil, fmt.Errorf("open stream to guest: %w", yamux.ErrSessionShutdown)
	case r := <-opened:
		if r.err != nil {
			return nil, fmt.Errorf("open stream to guest: %w", r.err)
		}
		return s.request(ctx, r.stream, port)
	case <-ctx.Done():
		s.work.run(func() {
			if r := <-opened; r.err == nil {
				_ = (&Conn{Stream: r.stream, work: &s.work}).Close()
			}
		})
		return nil, context.Cause(ctx)
	}
}

func (s *HostSession) request(ctx context.Context, stream *yamux.Stream, port uint32) (*Conn, error) {
	conn := &Conn{Stream: stream, work: &s.work}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	answer := []byte{refused}
	_, err := stream.Write(binary.BigEndian.AppendUint32(nil, port))
	if err == nil {
		_, err = io.ReadFull(stream, answer)
	}
	if !stop() {
		return nil, context.Cause(ctx)
	}
	if err == nil && answer[0] == accepted {
		return conn, nil
	}
	_ = conn.Close()
	if err != nil {
		return nil, fmt.Errorf("ask guest for port %d: %w", port, err)
	}
	return nil, &RefusedError{Port: port}
}

// Done is closed when the session has ended: the guest went, or sent what is not yamux.
func (s *HostSession) Done() <-chan struct{} { return s.mux.CloseChan() }

// Close ends the session, its connections and the connection below it.
func (s *HostSession) Close() error {
	err := s.mux.Close()
	s.work.wait()
	return err
}
