package main

import (
	"encoding/binary"
	"net"
	"sync"
)

// link is where the host's calls come in. Whole frames alone go out, so that floods don't cut answers.
type link struct {
	net.Listener
	mu   sync.Mutex
	conn *linkConn
}

type linkConn struct {
	net.Conn
	mu    sync.Mutex
	wrote chan struct{} // closed behind the next frame that goes out; nil where nobody waits for it
}

func (l *link) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conn = &linkConn{Conn: conn}
	return l.conn, nil
}

func (c *linkConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, err := c.Conn.Write(p)
	if c.wrote != nil {
		close(c.wrote)
		c.wrote = nil
	}
	return n, err
}

// answered is closed when the call that is being answered has its answer.
func (l *link) answered() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wrote == nil {
		c.wrote = make(chan struct{})
	}
	return c.wrote
}

// Of a ttrpc frame (github.com/containerd/ttrpc, PROTOCOL.md): length, stream, type, flags.
const (
	callRequest  = 1
	callResponse = 2
)

func callFrame(kind byte, stream, length uint32) []byte {
	frame := binary.BigEndian.AppendUint32(nil, length)
	frame = binary.BigEndian.AppendUint32(frame, stream)
	return append(frame, kind, 0)
}

// flood writes what no call asked for until the host is gone.
func (l *link) flood(kind string) {
	l.mu.Lock()
	conn := l.conn
	l.mu.Unlock()
	var err error
	for id := uint32(1 << 20); err == nil; id += 2 {
		switch kind {
		case "answers":
			_, err = conn.Write(append(callFrame(callResponse, id|1, 1000), make([]byte, 1000)...))
		case "calls":
			_, err = conn.Write(append(callFrame(callRequest, id, 1000), make([]byte, 1000)...))
		case "length":
			_, err = conn.Write(append(callFrame(callResponse, 1, 1<<32-1), make([]byte, 64<<10)...))
		}
	}
}
