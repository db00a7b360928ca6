package ports

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"microagent/runtime/guest/proto"
)

// dialPatience bounds how long a guest may take to say whether a server took a connection.
const dialPatience = 30 * time.Second

// reset ends a connection at once, so that the client's next call fails. A unix socket has no reset: it ends.
func reset(client net.Conn) {
	if tcp, ok := client.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // fails only where it is closed already
	}
	_ = client.Close()
}

// halfCloser is a connection of TCP or of a unix socket.
type halfCloser interface{ CloseWrite() error }

// carry takes a client to the guest's server, and returns when both directions have ended, or the guest or the port has
// gone.
func (l *life) carry(client net.Conn, p *port) {
	defer client.Close()
	dialling, cancel := context.WithTimeout(l.ctx, dialPatience)
	server, err := l.guest.Dial(dialling, p.guest)
	cancel()
	if err != nil {
		reset(client)
		return
	}
	defer server.Close()
	cut := func() {
		reset(client)
		_ = server.Close()
	}
	defer context.AfterFunc(l.ctx, cut)()
	defer context.AfterFunc(p.ctx, cut)()
	answered, down := make(chan bool, 1), make(chan struct{})
	go func() {
		defer close(down)
		l.answer(client, server, answered)
	}()
	asking := &clientSide{Reader: client}
	_, err = copyPooled(server, asking)
	switch {
	case asking.err != nil:
		reset(client)
		_ = server.Close()
	case err == nil && server.CloseWrite() == nil && <-answered:
		_ = client.Close() // what comes of the guest now is no more for it
		defer time.AfterFunc(l.ports.letGo, func() { _ = server.Close() }).Stop()
	}
	<-down // what the server sent before it took no more is still to come
}

// answer gives a client what the server sends, says whether that came whole, and resets the client when the guest lets go
// of the connection before its end.
func (l *life) answer(client net.Conn, server Conn, whole chan<- bool) {
	defer server.Close()
	_, err := copyPooled(client, server)
	if err == nil {
		_ = client.(halfCloser).CloseWrite() // fails only where the client is gone, which the other direction tells
	}
	if whole <- err == nil; err == nil {
		err = server.Over()
	}
	if err != nil {
		reset(client)
	}
}

// buffers are of copies: short connections come by the hundred.
var buffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

func copyPooled(to io.Writer, from io.Reader) (int64, error) {
	b := buffers.Get().(*[32 << 10]byte)
	defer buffers.Put(b)
	return io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, b[:])
}

// carryPackets is carry of a unix socket's datagrams, of which each is a packet of the connection. An empty one is not
// carried: there it would be the end.
func (l *life) carryPackets(client net.Conn, p *port) {
	defer client.Close()
	dialling, cancel := context.WithTimeout(l.ctx, dialPatience)
	server, err := l.guest.Dial(dialling, p.guest)
	cancel()
	if err != nil {
		return
	}
	cut := func() {
		_ = client.Close()
		_ = server.Close()
	}
	defer context.AfterFunc(l.ctx, cut)()
	defer context.AfterFunc(p.ctx, cut)()
	down := make(chan struct{})
	go func() {
		defer close(down)
		defer cut()
		in, b := proto.NewDatagrams(server), make([]byte, proto.MaxDatagram)
		for {
			n, err := in.Receive(b)
			if err == nil && n > 0 {
				_, err = client.Write(b[:n])
			}
			if err != nil {
				return
			}
		}
	}()
	out, b := proto.NewDatagrams(server), make([]byte, proto.MaxDatagram)
	for err = nil; err == nil; {
		var n int
		if n, err = client.Read(b); err == nil {
			err = out.Send(b[:n])
		}
	}
	cut()
	<-down
}

// clientSide remembers that a client's side broke.
type clientSide struct {
	io.Reader
	err error
}

func (c *clientSide) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}
