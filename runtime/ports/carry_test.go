package ports

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestServerThatIsGoneResets(t *testing.T) {
	f := newFake()
	f.err = errors.New("nothing listens")
	p := newPorts(t)
	dir := t.TempDir()
	number := publish(t, p, "auto:80", "unix:"+dir+"/s:80")[0].Host
	serving(t, p, f)
	f.said <- []bool{true}
	listening(t, p, true)
	n := 0
	conn, err := net.Dial("tcp", at("127.0.0.1", number))
	if err == nil { // the reset may come before Dial is done
		n, err = conn.Read(make([]byte, 1))
	}
	if n != 0 || !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("%d bytes, %v", n, err)
	}
	if conn, err = net.Dial("unix", dir+"/s"); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("unix: %d bytes, %v", n, err)
	}
}

// TestBytesComeWholeAndOnce sends much both ways at the same time, with ends at different times.
func TestBytesComeWholeAndOnce(t *testing.T) {
	session := bootAgent(t)
	down := bytes.Repeat([]byte("down the stream."), 200_000)
	up := bytes.Repeat([]byte("up the stream..."), 150_000)
	got := make(chan [32]byte, 8)
	guest, _ := guestServer(t, "127.0.0.1:0", func(c *net.TCPConn) {
		var w sync.WaitGroup
		w.Go(func() { _, _ = c.Write(down); _ = c.CloseWrite() })
		all, _ := io.ReadAll(c)
		w.Wait()
		got <- sha256.Sum256(all)
	})
	p := newPorts(t)
	number := publish(t, p, fmt.Sprintf("auto:%d", guest))[0].Host
	serving(t, p, Session(session))
	listening(t, p, true)
	var w sync.WaitGroup
	for range 4 {
		w.Go(func() {
			conn, err := net.Dial("tcp", at("::1", number))
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			read := make(chan []byte, 1)
			go func() { all, _ := io.ReadAll(conn); read <- all }()
			_, _ = conn.Write(up)
			_ = conn.(*net.TCPConn).CloseWrite()
			if all := <-read; !bytes.Equal(all, down) {
				t.Errorf("%d of %d bytes came down", len(all), len(down))
			}
			if sum := <-got; sum != sha256.Sum256(up) {
				t.Error("other bytes came up")
			}
		})
	}
	w.Wait()
}

func TestThousandsOfShortConnections(t *testing.T) {
	session := bootAgent(t)
	guest, _ := guestServer(t, "127.0.0.1:0", func(c *net.TCPConn) {
		b := make([]byte, 4)
		_, _ = io.ReadFull(c, b)
		_, _ = c.Write(b)
	})
	p := newPorts(t)
	number := publish(t, p, fmt.Sprintf("auto:%d", guest))[0].Host
	serving(t, p, Session(session))
	listening(t, p, true)
	var w sync.WaitGroup
	for i := range 16 {
		w.Go(func() {
			for j := range 150 {
				conn, err := net.Dial("tcp", at("127.0.0.1", number))
				if err != nil {
					t.Error(err)
					return
				}
				want := fmt.Sprintf("%02d%02d", i, j%100)
				_, _ = io.WriteString(conn, want)
				if got, err := io.ReadAll(conn); string(got) != want || err != nil {
					t.Errorf("%q, %v; not %q", got, err, want)
				}
				conn.Close()
			}
		})
	}
	w.Wait()
	empty(t, p)
}

// empty waits until no connection is left.
func empty(t *testing.T, p *Ports) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); len(p.slots) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d connections are left", len(p.slots))
		}
	}
}

// TestConnectionsAreBounded has a guest that accepts and never reads, and more clients than there is room for.
func TestConnectionsAreBounded(t *testing.T) {
	f := newFake()
	const most = 64
	p := New(slog.New(slog.DiscardHandler), most*memoryOfOne)
	t.Cleanup(p.Close)
	bound := publish(t, p, "auto:80", "auto:81", "auto:82")
	serving(t, p, f)
	f.said <- []bool{true, true, true}
	listening(t, p, true)
	var clients []net.Conn
	dial := func(i int) {
		conn, err := net.Dial("tcp", at("127.0.0.1", bound[i].Host))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		clients = append(clients, conn)
	}
	for range most/2 + 20 {
		dial(0)
	}
	await(t, "the first port is full", func() bool { return len(f.dialed) == most/2 })
	for i := range most/2 + 20 {
		dial(1 + i%2)
	}
	await(t, "all is full", func() bool { return len(p.slots) == most })
	await(t, "all are with the guest", func() bool { return len(f.dialed) == most })
	(<-f.dialed).Close() // one goes, and one of those that wait comes
	await(t, "another one came in the place of one that went", func() bool { return len(f.dialed) == most })
	for _, c := range clients {
		_ = c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
	await(t, "clients that are gone leave room", func() bool { return len(p.slots) == 0 })
}

func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in 20 s: %s", what)
		}
	}
}

// holding never lets go of a connection whose both directions have ended.
type holding struct {
	Conn
	closed chan struct{}
	once   sync.Once
}

func (h *holding) Read([]byte) (int, error)    { return 0, io.EOF }
func (h *holding) Write(p []byte) (int, error) { return len(p), nil }
func (h *holding) CloseWrite() error           { return nil }
func (h *holding) Over() error                 { <-h.closed; return net.ErrClosed }
func (h *holding) Close() error                { h.once.Do(func() { close(h.closed) }); return nil }

func TestGuestThatHoldsConnectionsLosesThem(t *testing.T) {
	f := newFake()
	held := &holding{closed: make(chan struct{})}
	f.conn = held
	p := newPorts(t)
	p.letGo = time.Millisecond
	number := publish(t, p, "auto:80")[0].Host
	serving(t, p, f)
	f.said <- []bool{true}
	listening(t, p, true)
	conn, err := net.Dial("tcp", at("127.0.0.1", number))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "all of it")
	_ = conn.(*net.TCPConn).CloseWrite()
	if got, err := io.ReadAll(conn); len(got) > 0 || err != nil {
		t.Errorf("%q, %v: both directions came to their end", got, err)
	}
	<-held.closed
	empty(t, p)
}

func TestFullStreamStopsNobodyElse(t *testing.T) {
	session := bootAgent(t)
	deaf, _ := guestServer(t, "127.0.0.1:0", func(c *net.TCPConn) { <-t.Context().Done() })
	guest, _ := guestServer(t, "127.0.0.1:0", echo)
	p := newPorts(t)
	bound := publish(t, p, fmt.Sprintf("auto:%d", deaf), fmt.Sprintf("auto:%d", guest))
	serving(t, p, Session(session))
	listening(t, p, true)
	full, err := net.Dial("tcp", at("127.0.0.1", bound[0].Host))
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	written := 0
	for {
		_ = full.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
		n, err := full.Write(make([]byte, 1<<20))
		if written += n; err != nil {
			break
		}
		if written > 256<<20 {
			t.Fatal("256 MiB went to a server that reads nothing")
		}
	}
	conn, err := net.Dial("tcp", at("127.0.0.1", bound[1].Host))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "ping")
	if _, err := io.ReadFull(conn, make([]byte, 4)); err != nil {
		t.Errorf("beside a full stream: %v", err)
	}
	if err := session.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestEndOfAGuestResetsItsConnections(t *testing.T) {
	f := newFake()
	p := newPorts(t)
	number := publish(t, p, "auto:80")[0].Host
	stop := serving(t, p, f)
	f.said <- []bool{true}
	listening(t, p, true)
	conn, err := net.Dial("tcp", at("127.0.0.1", number))
	if err != nil {
		t.Fatal(err)
	}
	<-f.dialed
	stop()
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
		t.Error(err)
	}
	refused(t, at("127.0.0.1", number))
}
