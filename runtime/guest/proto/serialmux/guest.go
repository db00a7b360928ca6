package serialmux

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/yamux"
)

// portPatience bounds how long a stream may take to say which port it wants.
const portPatience = 30 * time.Second

// GuestSession hands the host's connections to listeners.
type GuestSession struct {
	mux       *yamux.Session
	mu        sync.Mutex
	listeners map[uint32]*Listener
	work      work
}

func newGuestSession(mux *yamux.Session) *GuestSession {
	s := &GuestSession{mux: mux, listeners: map[uint32]*Listener{}}
	s.work.run(s.accept)
	return s
}

// Listen takes a port. Streams for ports that nobody took are refused.
func (s *GuestSession) Listen(port uint32) (*Listener, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listeners[port] != nil {
		return nil, fmt.Errorf("listen on port %d: already taken", port)
	}
	l := &Listener{session: s, port: port, conns: make(chan *Conn), closed: make(chan struct{})}
	s.listeners[port] = l
	return l, nil
}

// Done is closed when the session has ended.
func (s *GuestSession) Done() <-chan struct{} { return s.mux.CloseChan() }

// Close ends the session, its listeners and connections, and the port.
func (s *GuestSession) Close() error {
	err := s.mux.Close()
	s.work.wait()
	return err
}

func (s *GuestSession) accept() {
	for {
		stream, err := s.mux.AcceptStream()
		if err != nil {
			return
		}
		s.work.run(func() { s.serve(stream) })
	}
}

func (s *GuestSession) serve(stream *yamux.Stream) {
	conn := &Conn{Stream: stream, work: &s.work}
	_ = stream.SetReadDeadline(time.Now().Add(portPatience))
	var b [4]byte
	if _, err := io.ReadFull(stream, b[:]); err != nil {
		_ = conn.Close()
		return
	}
	_ = stream.SetReadDeadline(time.Time{})
	s.mu.Lock()
	l := s.listeners[binary.BigEndian.Uint32(b[:])]
	s.mu.Unlock()
	if l == nil || !l.deliver(conn) {
		_, _ = stream.Write([]byte{refused})
		_ = conn.Close()
	}
}

// Listener is a port of the guest.
type Listener struct {
	session *GuestSession
	port    uint32
	conns   chan *Conn
	closed  chan struct{}
	once    sync.Once
}

var _ net.Listener = (*Listener)(nil)

// deliver tells the host yes when somebody takes the connection.
func (l *Listener) deliver(c *Conn) bool {
	select {
	case l.conns <- c:
		return true
	case <-l.closed:
	case <-l.session.Done():
	}
	return false
}

// Accept waits for a connection of the host.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		select {
		case conn := <-l.conns:
			if _, err := conn.Write([]byte{accepted}); err != nil {
				_ = conn.Close()
				continue
			}
			return conn, nil
		case <-l.closed:
		case <-l.session.Done():
		}
		return nil, net.ErrClosed
	}
}

// Close gives the port back.
func (l *Listener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.session.mu.Lock()
		delete(l.session.listeners, l.port)
		l.session.mu.Unlock()
	})
	return nil
}

// Addr names the port.
func (l *Listener) Addr() net.Addr { return Addr(l.port) }
