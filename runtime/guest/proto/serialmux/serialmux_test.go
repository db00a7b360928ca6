package serialmux_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"microagent/runtime/guest/proto/serialmux"
)

// pair is both ends of a session over an in-memory pipe; junk is what an earlier boot left towards the host.
func pair(t *testing.T, junk string) (*serialmux.GuestSession, *serialmux.HostSession) {
	t.Helper()
	g, h := net.Pipe()
	type made struct {
		s   *serialmux.GuestSession
		err error
	}
	guest := make(chan made, 1)
	go func() {
		if _, err := io.WriteString(g, junk); err != nil {
			guest <- made{nil, err}
			return
		}
		s, err := serialmux.Guest(t.Context(), g)
		guest <- made{s, err}
	}()
	host, err := serialmux.Host(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	m := <-guest
	if m.err != nil {
		t.Fatal(m.err)
	}
	t.Cleanup(func() { host.Close(); m.s.Close() })
	return m.s, host
}

func echo(t *testing.T, g *serialmux.GuestSession, port uint32) {
	t.Helper()
	l, err := g.Listen(port)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			data, _ := io.ReadAll(c)
			_, _ = c.Write(data)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
}

func TestHalfCloseBringsAllBack(t *testing.T) {
	for name, junk := range map[string]string{
		"clean":      "",
		"junk":       "\x00\x01half a frame",
		"old hello":  "microagent-hello 0123456789abcdef01234\n",
		"look-alike": "microagent-hello microagent-hello zz",
	} {
		t.Run(name, func(t *testing.T) {
			g, h := pair(t, junk)
			echo(t, g, 7)
			want := bytes.Repeat([]byte("0123456789"), 300_000)
			c, err := h.Dial(t.Context(), 7)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.Write(want); err != nil {
				t.Fatal(err)
			}
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(c)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("got %d bytes, %v; sent %d", len(got), err, len(want))
			}
		})
	}
}

func TestUnknownPortIsRefused(t *testing.T) {
	_, h := pair(t, "")
	_, err := h.Dial(t.Context(), 9)
	if refused, ok := errors.AsType[*serialmux.RefusedError](err); !ok || refused.Port != 9 {
		t.Fatalf("dial of a port without listener: %v", err)
	}
}

func TestClosedConnectionFreesItsPeer(t *testing.T) {
	g, h := pair(t, "")
	l, err := g.Listen(1)
	if err != nil {
		t.Fatal(err)
	}
	c, accepted := dialAccept(t, h, l, 1)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(accepted); err != nil {
		t.Fatalf("the peer reads no end after Close: %v", err)
	}
	// More than a window: would block for ever if nobody took it.
	if _, err := accepted.Write(make([]byte, 3<<20)); err != nil {
		t.Fatalf("the peer can't finish its write: %v", err)
	}
	accepted.Close()
}

func TestCloseEndsAReadInProgress(t *testing.T) {
	g, h := pair(t, "")
	l, err := g.Listen(1)
	if err != nil {
		t.Fatal(err)
	}
	c, peer := dialAccept(t, h, l, 1)
	defer peer.Close()
	read := make(chan error)
	go func() {
		_, err := c.Read(make([]byte, 1))
		read <- err
	}()
	c.Close()
	if err := <-read; !errors.Is(err, net.ErrClosed) {
		t.Fatalf("read gave %v", err)
	}
}

func TestSilentReaderStopsNobodyElse(t *testing.T) {
	g, h := pair(t, "")
	echo(t, g, 2)
	l, err := g.Listen(1)
	if err != nil {
		t.Fatal(err)
	}
	_, full := dialAccept(t, h, l, 1)
	_ = full.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	if _, err := full.Write(make([]byte, 8<<20)); err == nil {
		t.Fatal("8 MiB went to a connection that nobody reads")
	}
	c, err := h.Dial(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = c.Write([]byte("ping"))
	_ = c.CloseWrite()
	if got, err := io.ReadAll(c); err != nil || string(got) != "ping" {
		t.Fatalf("got %q, %v beside a full connection", got, err)
	}
}

func TestEndOfContextEndsWaiting(t *testing.T) {
	_, h := net.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := serialmux.Host(ctx, h); !errors.Is(err, context.Canceled) {
		t.Fatalf("host without guest: %v", err)
	}
	g, _ := net.Pipe()
	if _, err := serialmux.Guest(ctx, g); !errors.Is(err, context.Canceled) {
		t.Fatalf("guest without host: %v", err)
	}
	gs, hs := pair(t, "")
	if _, err := gs.Listen(3); err != nil { // and nobody accepts
		t.Fatal(err)
	}
	if _, err := hs.Dial(ctx, 3); !errors.Is(err, context.Canceled) {
		t.Fatalf("dial that nobody accepts: %v", err)
	}
}

func dialAccept(t *testing.T, h *serialmux.HostSession, l *serialmux.Listener, port uint32) (*serialmux.Conn, net.Conn) {
	t.Helper()
	got := make(chan net.Conn, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			c = nil
		}
		got <- c
	}()
	c, err := h.Dial(t.Context(), port)
	if err != nil {
		t.Fatal(err)
	}
	accepted := <-got
	if accepted == nil {
		t.Fatal("accept failed")
	}
	return c, accepted
}
