// Package serialmux carries many connections over one serial port between a guest and its host: both halves of
// what replaces vsock where there is none. It promises that both sides start afresh together after a guest boot,
// whatever bytes an earlier boot left in the pipe, and that a guest can't open a connection to its host. The agent
// uses Guest, the adapter uses Host.
//
// A guest reset leaves no mark in the bytes of a virtio-serial port, so a boot begins with a preamble: the guest
// writes "microagent-hello NONCE\n", NONCE being 32 random hex digits, and throws its input away until the same
// line comes back. The host throws its input away until it has read such a line, and writes it back. Then both
// speak yamux, the host as client.
//
// A connection is a yamux stream that the host opens. It begins with the port that is wanted, four bytes big
// endian; the guest answers one byte, 1 when a listener took it, and closes the stream after 0 when there is
// none. The rest is the connection's. yamux has a half-close only: see Conn.
package serialmux

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/hashicorp/yamux"
)

const (
	magic    = "microagent-hello "
	nonceLen = 32
	lineLen  = len(magic) + nonceLen + 1

	accepted = 1
	refused  = 0

	hostWindow  = 1 << 20
	guestWindow = 256 << 10 // of what a process or a server has not taken: a guest has little memory
)

// RefusedError says that nobody listens on a port of the guest.
type RefusedError struct{ Port uint32 }

func (e *RefusedError) Error() string {
	return fmt.Sprintf("nobody listens on port %d in the guest", e.Port)
}

func config(window uint32) *yamux.Config {
	c := yamux.DefaultConfig()
	// A paused guest answers nothing for as long as it pleases its user.
	c.EnableKeepAlive = false
	c.ConnectionWriteTimeout = 365 * 24 * time.Hour
	c.StreamOpenTimeout = 0
	c.StreamCloseTimeout = 0
	c.MaxStreamWindowSize = window
	c.LogOutput = io.Discard
	return c
}

// newHello makes the line that begins a boot.
func newHello() []byte {
	var b [nonceLen / 2]byte
	_, _ = rand.Read(b[:])
	return []byte(magic + hex.EncodeToString(b[:]) + "\n")
}

// await reads r up to the end of want and not a byte further.
func await(r io.ByteReader, want []byte) error {
	tail := make([]byte, 0, 2*len(want))
	for {
		b, err := r.ReadByte()
		if err != nil {
			return err
		}
		if len(tail) == cap(tail) {
			tail = append(tail[:0], tail[len(tail)-len(want)+1:]...)
		}
		if tail = append(tail, b); bytes.HasSuffix(tail, want) {
			return nil
		}
	}
}

// awaitHello reads r up to the end of a hello line and gives it.
func awaitHello(r io.ByteReader) ([]byte, error) {
	line := make([]byte, 0, lineLen)
	for {
		b, err := r.ReadByte()
		if err != nil {
			return nil, err
		}
		if line = append(line, b); len(line) > lineLen {
			line = append(line[:0], line[1:]...)
		}
		if b == '\n' && len(line) == lineLen && isHello(line) {
			return line, nil
		}
	}
}

func isHello(line []byte) bool {
	nonce, ok := bytes.CutPrefix(line, []byte(magic))
	if !ok {
		return false
	}
	_, err := hex.DecodeString(string(bytes.TrimSuffix(nonce, []byte("\n"))))
	return err == nil
}

// oneByte reads single bytes off a connection without reading ahead.
type oneByte struct{ r io.Reader }

func (o oneByte) ReadByte() (byte, error) {
	var b [1]byte
	_, err := io.ReadFull(o.r, b[:])
	return b[0], err
}

// Guest does the guest's half of the preamble on port and starts the session. It returns when the host answered,
// or when ctx ends, which closes the port.
func Guest(ctx context.Context, port io.ReadWriteCloser) (*GuestSession, error) {
	stop := context.AfterFunc(ctx, func() { port.Close() })
	hello := newHello()
	_, err := port.Write(hello)
	in := bufio.NewReader(port)
	if err == nil {
		err = await(in, hello)
	}
	if !stop() {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		port.Close()
		return nil, fmt.Errorf("preamble on serial port: %w", err)
	}
	mux, err := yamux.Server(&wholeFrames{ReadWriteCloser: &buffered{in, port}}, config(guestWindow))
	if err != nil {
		port.Close()
		return nil, err
	}
	return newGuestSession(mux), nil
}

// buffered reads through what the preamble read ahead.
type buffered struct {
	in *bufio.Reader
	io.ReadWriteCloser
}

func (b *buffered) Read(p []byte) (int, error) { return b.in.Read(p) }

// Host does the host's half: it waits for a guest's hello on conn, answers it and starts the session. It returns
// when that is done, or when ctx ends, which closes conn.
func Host(ctx context.Context, conn net.Conn) (*HostSession, error) {
	hello, err := AwaitHello(ctx, conn)
	if err != nil {
		return nil, err
	}
	return Answer(ctx, conn, hello)
}

// AwaitHello waits for a guest's hello on conn and gives it. A guest whose hello nobody has answered waits, and so does any
// copy that is made of it meanwhile. Ending ctx closes conn.
func AwaitHello(ctx context.Context, conn net.Conn) (hello []byte, err error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	hello, err = awaitHello(oneByte{conn})
	if !stop() {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("wait for the guest's hello: %w", err)
	}
	return hello, nil
}

// Answer answers a hello that was read before, on conn or by the host that a copied guest had before, and starts the session.
func Answer(ctx context.Context, conn net.Conn, hello []byte) (*HostSession, error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	_, err := conn.Write(hello)
	if !stop() {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("answer the guest's hello: %w", err)
	}
	mux, err := yamux.Client(&wholeFrames{ReadWriteCloser: &noPings{Conn: conn}}, config(hostWindow))
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	// From now on a stream that the guest opens is reset.
	if err := mux.GoAway(); err != nil {
		return nil, errors.Join(err, mux.Close())
	}
	return &HostSession{mux: mux}, nil
}

// Break ends the session that a copied guest has with the host it had before: what it reads is not yamux, wherever in a frame
// it stopped. All its streams end, and it says hello anew if it means to go on. It writes until ctx ends or conn does.
func Break(ctx context.Context, conn net.Conn) {
	noise := bytes.Repeat([]byte{breaker}, portWrite)
	for ctx.Err() == nil {
		if _, err := conn.Write(noise); err != nil {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(breakPause):
		}
	}
}

// breaker is no version of yamux, and no part of a hello; breakPause is how long a guest has to notice it.
const (
	breaker    = 0xff
	breakPause = 50 * time.Millisecond
)
