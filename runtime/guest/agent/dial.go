package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"microagent/runtime/guest/proto"
	"microagent/runtime/guest/proto/wire"
	"microagent/runtime/listentable"
)

const (
	// dialPatience bounds how long a server may leave a connection waiting in a queue that is full.
	dialPatience = 10 * time.Second
	// maxDials bounds how many connections to servers there are at a time; each takes some 128 KiB.
	maxDials = 1024
)

// dial carries one connection after another on a stream, as long as each comes to its end.
func (a *Agent) dial(ctx context.Context, h *wire.StreamHeader, st *proto.Stream) {
	for a.connect(ctx, h, st) {
		var err error
		if h, err = st.Next(); err != nil {
			return
		}
		if h.GetKind() != proto.KindDial {
			finish(st, proto.Errorf(proto.CodeInvalid, "a %s stream after a %s stream", h.GetKind(), proto.KindDial))
			return
		}
	}
}

// connect reaches a server of this guest and carries its bytes until both directions have ended; true when those of both
// came whole.
func (a *Agent) connect(ctx context.Context, h *wire.StreamHeader, st *proto.Stream) bool {
	defer a.dials.Add(-1)
	conn, err := a.reach(ctx, h, a.dials.Add(1))
	if err != nil {
		a.stirred.ring() // what a watch said last may be no longer so
		finish(st, err)
		return false
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if st.HoldOk() != nil {
		return false
	}
	if tcp, ok := conn.(*tcp); ok {
		return carry(tcp, st)
	}
	carryDatagrams(conn, st)
	return false
}

func (a *Agent) reach(ctx context.Context, h *wire.StreamHeader, dials int32) (io.ReadWriteCloser, error) {
	if err := a.ready(); err != nil {
		return nil, err
	}
	list, err := ports(h, 1)
	if err != nil {
		return nil, err
	}
	if dials > maxDials {
		return nil, proto.Errorf(proto.CodeRefused, "more than %d connections to servers in the guest", maxDials)
	}
	ctx, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	if list[0].UDP {
		return reachUDP(ctx, list[0].Number)
	}
	return reachTCP(ctx, list[0].Number)
}

func nothingListens(port uint16) error {
	return proto.Errorf(proto.CodeNotFound, "nothing listens on port %d", port)
}

// reachUDP looks at who listens: a datagram that nobody takes says so too late.
func reachUDP(ctx context.Context, port uint16) (net.Conn, error) {
	sockets, err := listentable.Read(tables, true)
	if err != nil {
		return nil, answer(err)
	}
	var d net.Dialer
	for _, address := range loopback {
		for _, s := range sockets {
			if s.Port == port && s.OnLoopback() && s.Address.Is4() == address.Is4() {
				conn, err := d.DialUDP(ctx, "udp", netip.AddrPort{}, netip.AddrPortFrom(address, port))
				if err != nil {
					return nil, err
				}
				return conn, nil
			}
		}
	}
	return nil, nothingListens(port)
}

// carry passes on the end of each direction as that, and what broke as a connection that is cut off.
func carry(conn *tcp, st *proto.Stream) bool {
	fed := make(chan error, 1)
	go func() { fed <- feedServer(conn, st) }()
	err := sendAnswer(st, conn)
	if err != nil { // the server reset the connection, or the host takes no more
		conn.reset()
		_ = st.Close()
	}
	return <-fed == nil && err == nil
}

// sendAnswer gives the host what the server sends. What there is goes in one piece, together with the end where that is
// there too: most servers close right after their answer.
func sendAnswer(st *proto.Stream, conn *tcp) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	b := buffers.Get().(*[32 << 10]byte)
	defer buffers.Put(b)
	for {
		n, readErr := readAll(raw, b[:])
		switch {
		case errors.Is(readErr, io.EOF):
			conn.answered.Store(true)
			return st.WriteLast(b[:n])
		case n > 0:
			if _, err := st.Write(b[:n]); err != nil {
				return err
			}
		}
		if readErr != nil {
			return readErr
		}
	}
}

// readAll waits for something to read and takes all that is there. io.EOF comes with the last bytes.
func readAll(raw syscall.RawConn, p []byte) (n int, err error) {
	waited := raw.Read(func(fd uintptr) bool {
		for n < len(p) {
			var more int
			more, err = unix.Read(int(fd), p[n:])
			switch {
			case errors.Is(err, unix.EINTR):
				continue
			case errors.Is(err, unix.EAGAIN):
				err = nil
				return n > 0
			case err == nil && more == 0:
				err = io.EOF
			}
			if err != nil {
				return true
			}
			n += more
		}
		return true
	})
	if waited != nil {
		return n, waited
	}
	return n, err
}

// feedServer gives the server what the host sends. Where the server takes no more, what it sent is still to be read, and
// that comes to its end.
func feedServer(conn *tcp, st *proto.Stream) error {
	from := &hostSide{st: st}
	_, err := copyPooled(conn, from)
	switch {
	case err == nil && !conn.answered.Load(): // else it is closed now
		_ = conn.CloseWrite() // fails only where the server is gone, which the other direction tells
	case from.cut:
		conn.reset()
	}
	return err
}

// buffers are of copies: short connections come by the hundred, and a guest has little memory.
var buffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

func copyPooled(to io.Writer, from io.Reader) (int64, error) {
	b := buffers.Get().(*[32 << 10]byte)
	defer buffers.Put(b)
	return io.CopyBuffer(onlyWriter{to}, onlyReader{from}, b[:])
}

// onlyWriter hides what else a connection can do, so that a copy goes through the buffer.
type onlyWriter struct{ io.Writer }

// hostSide remembers that the host cut the stream off.
type hostSide struct {
	st  *proto.Stream
	cut bool
}

func (h *hostSide) Read(p []byte) (int, error) {
	n, err := h.st.Read(p)
	h.cut = err != nil && !errors.Is(err, io.EOF)
	return n, err
}

// carryDatagrams ends when the host closes the stream, or when nobody takes a datagram any more.
func carryDatagrams(conn io.ReadWriteCloser, st *proto.Stream) {
	toServer := make(chan struct{})
	go func() {
		defer close(toServer)
		defer conn.Close()
		in, p := proto.NewDatagrams(st), make([]byte, proto.MaxDatagram)
		for {
			n, err := in.Receive(p)
			if err != nil {
				return
			}
			if _, err := conn.Write(p[:n]); err != nil && !tooLarge(err) {
				return
			}
		}
	}()
	out, p := proto.NewDatagrams(st), make([]byte, proto.MaxDatagram)
	for {
		n, err := conn.Read(p)
		if err == nil {
			err = out.Send(p[:n])
		}
		if err != nil {
			_ = st.Fail(fmt.Errorf("the server takes no datagrams: %w", err))
			break
		}
	}
	_ = st.Close()
	<-toServer
}

// tooLarge is how a datagram ends that does not fit, which says nothing about the next.
func tooLarge(err error) bool { return errors.Is(err, unix.EMSGSIZE) }
