package main

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"time"

	"microagent/runtime/guest/proto"
	"microagent/runtime/guest/proto/wire"
)

// intercepted are the streams that the agent gets: those that the liar does not want.
type intercepted struct {
	net.Listener
	liar *liar
}

func (i *intercepted) Accept() (net.Conn, error) {
	for {
		conn, err := i.Listener.Accept()
		if err != nil {
			return nil, err
		}
		tap := &tapped{Conn: conn}
		h, st, err := proto.Accept(tap, 30*time.Second)
		if err != nil {
			_ = conn.Close()
			continue
		}
		if answer := i.liar.wants(h); answer != nil {
			go func() {
				defer conn.Close()
				answer(conn, st)
			}()
			continue
		}
		return &replayed{Conn: conn, r: io.MultiReader(&tap.seen, conn)}, nil
	}
}

// tapped remembers what was read.
type tapped struct {
	net.Conn
	seen bytes.Buffer
}

func (t *tapped) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	t.seen.Write(p[:n])
	return n, err
}

// replayed gives what was read once more.
type replayed struct {
	net.Conn
	r io.Reader
}

func (r *replayed) Read(p []byte) (int, error) { return r.r.Read(p) }

// wants gives how to answer a stream that the agent is not to see; nil for another.
func (l *liar) wants(h *wire.StreamHeader) func(conn net.Conn, st *proto.Stream) {
	switch h.GetKind() {
	case proto.KindFetch, proto.KindPut:
		name := evil(h.GetPath())
		if name == "" {
			return nil
		}
		l.asked(name)
		switch name {
		case "silent":
			return func(net.Conn, *proto.Stream) { never() }
		case "frame":
			return func(conn net.Conn, _ *proto.Stream) { hugeFrame(conn) }
		case "refuse":
			return func(_ net.Conn, st *proto.Stream) { refuse(st) }
		}
		return func(_ net.Conn, st *proto.Stream) { sendTree(st, name) }
	case proto.KindStdout:
		l.asked("stdout")
		if l.kind == "output" {
			return func(conn net.Conn, _ *proto.Stream) { hugeFrame(conn) }
		}
	}
	return nil
}

// hugeFrame agrees, and then has a frame of data of four gigabytes begin.
func hugeFrame(conn net.Conn) {
	data := append([]byte{'O', 0, 0, 0, 0, 'D'}, binary.BigEndian.AppendUint32(nil, 1<<32-1)...)
	for {
		if _, err := conn.Write(data); err != nil {
			return
		}
		data = make([]byte, 64<<10)
	}
}

// refuse ends a stream that was agreed to with an error as long as a frame may be.
func refuse(st *proto.Stream) {
	_ = st.Ok()
	_ = st.Fail(proto.Errorf(proto.CodeFailed, "%s", forged(60<<10)))
	st.DrainInput()
}
