package proto

import (
	"context"
	"errors"
	"fmt"
	"io"

	"microagent/runtime/frame"
	"microagent/runtime/guest/proto/wire"
)

// Port is one of the guest's own loopback: 127.0.0.1, or ::1 where nothing listens on that.
type Port struct {
	Number uint16
	UDP    bool // else TCP
}

func (p Port) String() string {
	if p.UDP {
		return fmt.Sprintf("%d/udp", p.Number)
	}
	return fmt.Sprintf("%d", p.Number)
}

func (p Port) wire() *wire.Port { return &wire.Port{Number: uint32(p.Number), Udp: p.UDP} }

// hasPorts is the error of an agent that is too old.
func (s *Session) hasPorts(op string) error {
	if s.hello.Has(CapDial) {
		return nil
	}
	return &GuestError{Op: op, Code: CodeUnsupported, Message: "the guest's agent is older than published ports"}
}

// Listening is what a guest tells of its servers until it is closed.
type Listening struct {
	st   *Stream
	op   string
	said []byte
}

// Listening follows which ports have a server in the guest, at most MaxPorts. Ending ctx ends it.
func (s *Session) Listening(ctx context.Context, ports []Port) (*Listening, error) {
	op := "watch ports in guest"
	if err := s.hasPorts(op); err != nil {
		return nil, err
	}
	if len(ports) == 0 || len(ports) > MaxPorts {
		return nil, &GuestError{Op: op, Code: CodeInvalid, Message: fmt.Sprintf("%d ports, not 1 to %d", len(ports), MaxPorts)}
	}
	h := &wire.StreamHeader{Kind: KindListening}
	for _, p := range ports {
		h.Ports = append(h.Ports, p.wire())
	}
	st, err := open(ctx, s.dial, h)
	if err != nil {
		return nil, streamError(op, err)
	}
	return &Listening{st: st, op: op, said: make([]byte, len(ports))}, nil
}

// Next waits for the next change and says of each port, in the order they were asked for, whether a server is there.
// The first answer comes at once. The slice is the caller's.
func (l *Listening) Next() ([]bool, error) {
	if _, err := io.ReadFull(l.st, l.said); err != nil {
		return nil, streamError(l.op, frame.Cut(err))
	}
	open := make([]bool, len(l.said))
	for i, b := range l.said {
		if b > 1 {
			return nil, streamError(l.op, &FrameError{fmt.Sprintf("a port is told to be %d", b)})
		}
		open[i] = b == 1
	}
	return open, nil
}

// Close ends the watch, and a Next that waits.
func (l *Listening) Close() error { return l.st.Close() }

// Changed follows whether what is at a path was made or changed since the main process was started, or the guest where
// it has none. Ending ctx ends it; Next tells it as of one port.
func (s *Session) Changed(ctx context.Context, path string) (*Listening, error) {
	op := "watch " + path + " in guest"
	if !s.hello.Has(CapChanged) {
		return nil, &GuestError{Op: op, Code: CodeUnsupported, Message: "the guest's agent is older than watched paths"}
	}
	st, err := open(ctx, s.dial, &wire.StreamHeader{Kind: KindChanged, Path: path})
	if err != nil {
		return nil, streamError(op, err)
	}
	return &Listening{st: st, op: op, said: make([]byte, 1)}, nil
}

// MaxDatagram is the largest that Datagrams carries, in bytes: as large as UDP has them.
const MaxDatagram = 65507

// datagramPrefix is the size of a datagram's length before it, big endian.
const datagramPrefix = 2

// Datagrams carries datagrams over the bytes of a stream, each after two bytes of its length. One goroutine may read
// while another writes.
type Datagrams struct {
	rw  io.ReadWriter
	out []byte
}

// NewDatagrams begins with the next byte of rw.
func NewDatagrams(rw io.ReadWriter) *Datagrams { return &Datagrams{rw: rw} }

// Receive reads a datagram into p, which has room for MaxDatagram. io.EOF at the stream's end.
func (d *Datagrams) Receive(p []byte) (int, error) {
	var prefix [datagramPrefix]byte
	if _, err := io.ReadFull(d.rw, prefix[:]); err != nil {
		return 0, err
	}
	n := int(prefix[0])<<8 | int(prefix[1])
	if n > len(p) {
		return 0, &FrameError{fmt.Sprintf("a datagram of %d bytes", n)}
	}
	_, err := io.ReadFull(d.rw, p[:n])
	return n, frame.Cut(err)
}

// Send writes a datagram, in one piece.
func (d *Datagrams) Send(p []byte) error {
	if len(p) > MaxDatagram {
		return errors.New("stream: a datagram that is too large")
	}
	d.out = append(append(d.out[:0], byte(len(p)>>8), byte(len(p))), p...)
	_, err := d.rw.Write(d.out)
	return err
}
