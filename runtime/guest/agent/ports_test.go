package agent

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"microagent/runtime/driver"
	"microagent/runtime/guest/proto"
)

// workspace is a session with an agent that is configured.
func workspace(t *testing.T) (*Agent, *proto.Session) {
	t.Helper()
	a, dial := serve(t, still{})
	s, err := proto.Connect(t.Context(), dial)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if err := s.Configure(t.Context(), proto.Config{}); err != nil {
		t.Fatal(err)
	}
	return a, s
}

// server listens on a loopback address and gives each connection to serve, one after the other.
func server(t *testing.T, address string, serve func(*net.TCPConn)) proto.Port {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serve(conn.(*net.TCPConn))
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return proto.Port{Number: netip.MustParseAddrPort(l.Addr().String()).Port()}
}

// freePort is one on which nothing listens.
func freePort(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return netip.MustParseAddrPort(l.Addr().String()).Port()
}

func dialled(t *testing.T, s *proto.Session, p proto.Port) *proto.Connection {
	t.Helper()
	st, err := s.Dial(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}

func TestDialCarriesBothWaysAndTheirEnds(t *testing.T) {
	_, s := workspace(t)
	sent := bytes.Repeat([]byte("0123456789abcdef"), 300_000)
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		var got []byte
		served := make(chan struct{})
		st := dialled(t, s, server(t, address, func(c *net.TCPConn) {
			defer close(served)
			_, _ = c.Write([]byte("first"))
			_ = c.CloseWrite() // and goes on reading
			got, _ = io.ReadAll(c)
		}))
		first, err := io.ReadAll(st)
		if err != nil || string(first) != "first" {
			t.Errorf("%s: %q, %v", address, first, err)
		}
		if _, err := st.Write(sent); err != nil {
			t.Errorf("%s: after the server's end: %v", address, err)
		}
		if err := st.CloseWrite(); err != nil {
			t.Error(err)
		}
		<-served
		if !bytes.Equal(got, sent) {
			t.Errorf("%s: %d of %d bytes came", address, len(got), len(sent))
		}
		answered := dialled(t, s, server(t, address, func(c *net.TCPConn) {
			all, _ := io.ReadAll(c)
			_, _ = c.Write(all)
		}))
		go func() {
			_, _ = answered.Write(sent)
			_ = answered.CloseWrite()
		}()
		if back, err := io.ReadAll(answered); err != nil || !bytes.Equal(back, sent) {
			t.Errorf("%s: %d of %d bytes came back after our end: %v", address, len(back), len(sent), err)
		}
	}
}

func TestDialWhereNothingListens(t *testing.T) {
	_, s := workspace(t)
	for _, udp := range []bool{false, true} {
		port := proto.Port{Number: freePort(t), UDP: udp}
		st := dialled(t, s, port)
		if _, err := st.Write([]byte("lost")); err != nil {
			t.Error(err)
		}
		if n, err := st.Read(make([]byte, 1)); n != 0 || !errors.Is(err, driver.ErrNotFound) {
			t.Errorf("udp %v: %d bytes, %v", udp, n, err)
		}
	}
	if _, err := dialled(t, s, proto.Port{}).Read(make([]byte, 1)); !errors.Is(err, driver.ErrInvalid) {
		t.Errorf("port 0: %v", err)
	}
}

func TestUnconfiguredGuestDialsNothing(t *testing.T) {
	_, dial := serve(t, still{})
	s, err := proto.Connect(t.Context(), dial)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	port := server(t, "127.0.0.1:0", func(*net.TCPConn) { t.Error("it was dialled") })
	if _, err := dialled(t, s, port).Read(make([]byte, 1)); !errors.Is(err, driver.ErrRefused) {
		t.Error(err)
	}
}

func TestResetsArePassedOn(t *testing.T) {
	a, s := workspace(t)
	st := dialled(t, s, server(t, "127.0.0.1:0", func(c *net.TCPConn) {
		_, _ = c.Write([]byte("part"))
		_, _ = c.Read(make([]byte, 1))
		_ = c.SetLinger(0)
	}))
	part := make([]byte, 4)
	if _, err := io.ReadFull(st, part); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(st); err == nil {
		t.Error("a server that resets the connection ends it well")
	}

	told := make(chan error, 1)
	st = dialled(t, s, server(t, "127.0.0.1:0", func(c *net.TCPConn) {
		_, err := io.ReadAll(c)
		told <- err
	}))
	if _, err := st.Write([]byte("part")); err != nil {
		t.Fatal(err)
	}
	_ = st.Close() // without an end
	if err := <-told; !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("a stream that is cut off ends the server's input with %v", err)
	}

	// A server that closes while we go on sending, after its answer came whole.
	st = dialled(t, s, server(t, "127.0.0.1:0", func(c *net.TCPConn) {
		_, _ = c.Write([]byte("enough"))
		_, _ = io.ReadFull(c, make([]byte, 4))
	}))
	if _, err := st.Write([]byte("1234")); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(st); err != nil || string(answer) != "enough" {
		t.Errorf("%q, %v", answer, err)
	}
	for written := 0; ; { // nobody reads: it fails, or waits for ever
		n, err := st.Write(make([]byte, 32<<10))
		if written += n; err != nil {
			break
		}
	}
	await(t, "the agent lets go of all connections", func() bool { return a.dials.Load() == 0 })
}

// await polls what has no event.
func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in 20 s: %s", what)
		}
	}
}

func TestDialsAreBounded(t *testing.T) {
	a, s := workspace(t)
	port := server(t, "127.0.0.1:0", func(*net.TCPConn) {})
	a.dials.Store(maxDials)
	if _, err := dialled(t, s, port).Read(make([]byte, 1)); !errors.Is(err, driver.ErrRefused) {
		t.Errorf("one more: %v", err)
	}
	a.dials.Store(0)
	if _, err := dialled(t, s, port).Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

func TestDatagramsKeepTheirBounds(t *testing.T) {
	_, s := workspace(t)
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.ListenPacket("udp", address)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			p := make([]byte, 1<<16)
			for {
				n, from, err := l.ReadFrom(p)
				if err != nil {
					return
				}
				_, _ = l.WriteTo(p[:n], from)
			}
		}()
		st := dialled(t, s, proto.Port{Number: netip.MustParseAddrPort(l.LocalAddr().String()).Port(), UDP: true})
		d, p := proto.NewDatagrams(st), make([]byte, proto.MaxDatagram)
		for _, size := range []int{1, 0, 1400, 65000, 7} {
			if err := d.Send(bytes.Repeat([]byte{byte(size)}, size)); err != nil {
				t.Fatal(err)
			}
			if n, err := d.Receive(p); err != nil || n != size || slices.ContainsFunc(p[:n], func(b byte) bool { return b != byte(size) }) {
				t.Errorf("%s: %d bytes came back of %d: %v", address, n, size, err)
			}
		}
		l.Close()
		<-done
		_ = d.Send([]byte("lost"))
		if _, err := d.Receive(p); err == nil {
			t.Errorf("%s: a server that is gone answers", address)
		}
	}
}

func TestListeningFollowsTheServers(t *testing.T) {
	a, s := workspace(t)
	first, second := freePort(t), freePort(t)
	l, err := s.Listening(t.Context(), []proto.Port{{Number: first}, {Number: second}, {Number: second, UDP: true}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	next := func(want ...bool) {
		t.Helper()
		if got, err := l.Next(); err != nil || !slices.Equal(got, want) {
			t.Fatalf("%v, %v; not %v", got, err, want)
		}
	}
	at := func(port uint16) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
	}
	next(false, false, false)
	tcp, err := net.Listen("tcp4", at(second).String())
	if err != nil {
		t.Fatal(err)
	}
	next(false, true, false)
	udp, err := net.ListenPacket("udp6", netip.AddrPortFrom(netip.IPv6Loopback(), second).String())
	if err != nil {
		t.Fatal(err)
	}
	next(false, true, true)
	tcp.Close()
	next(false, false, true)
	udp.Close()
	next(false, false, false)
	_ = l.Close()
	await(t, "nobody waits for servers any more", func() bool {
		a.stirred.ring() // what waits takes the next one, unless it has ended
		a.stirred.mu.Lock()
		defer a.stirred.mu.Unlock()
		return a.stirred.rung == nil
	})
}

func TestFailedDialIsLookedInto(t *testing.T) {
	a, s := workspace(t)
	rung := a.stirred.next()
	dialled(t, s, proto.Port{Number: freePort(t)})
	<-rung
}

func TestPausesGrowWithTheQuiet(t *testing.T) {
	for _, c := range []struct {
		quiet   time.Duration
		missing bool
		want    time.Duration
	}{
		{0, true, 0}, {time.Second, true, 100 * time.Millisecond}, {time.Hour, true, lookMissing},
		{time.Second, false, 100 * time.Millisecond}, {time.Hour, false, lookAll},
	} {
		if got := untilNextLook(c.quiet, c.missing); got != c.want {
			t.Errorf("after %s, missing %v: %s", c.quiet, c.missing, got)
		}
	}
	slow, quick := &counts{took: time.Second}, &counts{took: time.Microsecond}
	if a, b, c := slow.pause(true, time.Second), quick.pause(true, time.Second/2), quick.pause(true, time.Hour); a != countMost || b != lookFirst || c != lookMissing {
		t.Errorf("counts pause for %s, %s and %s", a, b, c)
	}
}

func TestListeningOfTooManyPorts(t *testing.T) {
	_, s := workspace(t)
	for _, n := range []int{0, proto.MaxPorts + 1} {
		if _, err := s.Listening(t.Context(), make([]proto.Port, n)); !errors.Is(err, driver.ErrInvalid) {
			t.Errorf("%d ports: %v", n, err)
		}
	}
}
