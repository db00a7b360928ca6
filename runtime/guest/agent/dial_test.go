package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"microagent/runtime/guest/proto"
)

// counted is a session that counts the streams that are opened to the agent.
func counted(t *testing.T) (*proto.Session, *atomic.Int32) {
	t.Helper()
	_, dial := serve(t, still{})
	streams := new(atomic.Int32)
	s, err := proto.Connect(t.Context(), func(ctx context.Context, port uint32) (net.Conn, error) {
		if port == proto.StreamPort {
			streams.Add(1)
		}
		return dial(ctx, port)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if err := s.Configure(t.Context(), proto.Config{}); err != nil {
		t.Fatal(err)
	}
	return s, streams
}

// TestOneStreamCarriesOneConnectionAfterAnother has servers that end first and servers that end last.
func TestOneStreamCarriesOneConnectionAfterAnother(t *testing.T) {
	s, streams := counted(t)
	last := server(t, "127.0.0.1:0", func(c *net.TCPConn) {
		all, _ := io.ReadAll(c)
		_, _ = c.Write(all)
	})
	first := server(t, "[::1]:0", func(c *net.TCPConn) {
		b := make([]byte, 2)
		_, _ = io.ReadFull(c, b)
		_, _ = c.Write(b)
	})
	for i := range 50 {
		for _, port := range []proto.Port{first, last} {
			want := fmt.Sprintf("%02d", i)
			st := dialled(t, s, port)
			if _, err := io.WriteString(st, want); err != nil {
				t.Fatal(err)
			}
			if port == last {
				_ = st.CloseWrite()
			}
			if got, err := io.ReadAll(st); err != nil || string(got) != want {
				t.Fatalf("%q, %v; not %q", got, err, want)
			}
			_ = st.CloseWrite()
			if err := st.Over(); err != nil {
				t.Fatal(err)
			}
			_ = st.Close()
			_ = st.Close() // ends nothing: it may be another's by now
		}
	}
	if n := streams.Load(); n != 1 {
		t.Errorf("%d streams for one connection at a time", n)
	}
}

// TestStreamOfABrokenConnectionCarriesNoOther: what broke leaves bytes on the way that are of nobody else.
func TestStreamOfABrokenConnectionCarriesNoOther(t *testing.T) {
	s, streams := counted(t)
	resets := server(t, "127.0.0.1:0", func(c *net.TCPConn) { _ = c.SetLinger(0) })
	closes := server(t, "127.0.0.1:0", func(c *net.TCPConn) { _, _ = c.Write([]byte("no more")) })
	for i, end := range []func(){
		func() { // before any end
			st := dialled(t, s, closes)
			_, _ = st.Write([]byte("x"))
			_ = st.Close()
		},
		func() { // after one
			st := dialled(t, s, closes)
			if got, err := io.ReadAll(st); string(got) != "no more" || err != nil {
				t.Errorf("%q, %v", got, err)
			}
			_ = st.Close()
		},
		func() {
			st := dialled(t, s, resets)
			if _, err := io.ReadAll(st); err == nil {
				t.Error("a reset ends it well")
			}
			_ = st.Close()
		},
		func() {
			st := dialled(t, s, proto.Port{Number: freePort(t)})
			if _, err := st.Read(make([]byte, 1)); err == nil {
				t.Error("nothing listens, and it reads")
			}
			_ = st.Close()
		},
		func() { // the server takes no more while we go on
			st := dialled(t, s, closes)
			_, _ = io.ReadAll(st)
			for {
				if _, err := st.Write(make([]byte, 32<<10)); err != nil {
					break
				}
			}
			if err := st.CloseWrite(); err == nil {
				err = st.Over()
				if err == nil {
					t.Error("all has reached a server that is gone")
				}
			}
			_ = st.Close()
		},
	} {
		end()
		if n := streams.Load(); n != int32(i+1) {
			t.Fatalf("%d streams after %d connections that broke", n, i+1)
		}
	}
}

// TestEndComesWithTheAnswer: what a server sent before it closed is one piece.
func TestEndComesWithTheAnswer(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs")
	defer ours.Close()
	raw, err := ours.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 6)
	for _, c := range []struct {
		sent string
		last bool
		want string
		err  error
	}{{sent: "abc", want: "abc"}, {sent: "abcdefgh", want: "abcdef"}, {sent: "ij", last: true, want: "ghij", err: io.EOF}} {
		if _, err := io.WriteString(theirs, c.sent); err != nil {
			t.Fatal(err)
		}
		if c.last {
			theirs.Close()
		}
		if n, err := readAll(raw, p); string(p[:n]) != c.want || !errors.Is(err, c.err) {
			t.Errorf("%q, %v; not %q, %v", p[:n], err, c.want, c.err)
		}
	}
}
