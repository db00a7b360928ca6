package ports

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"microagent/runtime/driver"
	"microagent/runtime/guest/proto"
	"microagent/schema/spec"
)

func refused(t *testing.T, address string) {
	t.Helper()
	if conn, err := net.Dial("tcp", address); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("%s: %v, %v; not refused", address, conn, err)
	}
}

// stolen says whether another program could take a port, as servers do.
func stolen(address string) bool {
	l, err := net.Listen("tcp", address)
	if err == nil {
		l.Close()
	}
	return err == nil
}

func TestPortIsHeldAndListensWhileItsServerDoes(t *testing.T) {
	session := bootAgent(t)
	p := newPorts(t)
	guest := free(t, false)
	number := publish(t, p, fmt.Sprintf("auto:%d", guest))[0].Host
	both := []string{at("127.0.0.1", number), at("::1", number)}
	check := func(when string, want bool) {
		t.Helper()
		for _, address := range both {
			if stolen(address) {
				t.Errorf("%s: another program could take %s", when, address)
			}
			if !want {
				refused(t, address)
				continue
			}
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatalf("%s: %v", when, err)
			}
			_, _ = io.WriteString(conn, "ping")
			_ = conn.(*net.TCPConn).CloseWrite()
			if got, err := io.ReadAll(conn); string(got) != "ping" || err != nil {
				t.Errorf("%s: %q, %v", when, got, err)
			}
			conn.Close()
		}
	}
	check("before any guest", false)
	stop := serving(t, p, Session(session))
	check("before the server", false)
	for range 3 {
		_, end := guestServer(t, at("127.0.0.1", guest), echo)
		listening(t, p, true)
		check("with the server", true)
		end()
		listening(t, p, false)
		check("after the server", false)
	}
	_, _ = guestServer(t, at("::1", guest), echo)
	listening(t, p, true)
	check("with a server on ::1", true)
	stop()
	check("without a guest", false)
	serving(t, p, Session(bootAgent(t)))
	listening(t, p, true)
	check("after a reboot", true)
}

func TestPortCanBeHadAgainAtOnce(t *testing.T) {
	session := bootAgent(t)
	guest, _ := guestServer(t, "127.0.0.1:0", func(*net.TCPConn) {}) // ends first, so that the host's side stays in TIME_WAIT
	number := uint16(0)
	for range 3 {
		p := newPorts(t)
		flag := fmt.Sprintf("auto:%d", guest)
		if number != 0 {
			flag = fmt.Sprintf("%d:%d", number, guest)
		}
		number = publish(t, p, flag)[0].Host
		stop := serving(t, p, Session(session))
		listening(t, p, true)
		conn, err := net.Dial("tcp", at("127.0.0.1", number))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.ReadAll(conn)
		conn.Close()
		stop()
		p.Close()
	}
}

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
	p := newPorts(t)
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
	for range MaxPortConnections + 20 {
		dial(0)
	}
	await(t, "the first port is full", func() bool { return len(f.dialed) == MaxPortConnections })
	for i := range MaxPortConnections + 20 {
		dial(1 + i%2)
	}
	await(t, "all is full", func() bool { return len(p.slots) == MaxConnections })
	await(t, "all are with the guest", func() bool { return len(f.dialed) == MaxConnections })
	(<-f.dialed).Close() // one goes, and one of those that wait comes
	await(t, "another one came in the place of one that went", func() bool { return len(f.dialed) == MaxConnections })
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

// TestGuestThatFlaps opens and closes its server as fast as it is listened to.
func TestGuestThatFlaps(t *testing.T) {
	f := newFake()
	p := newPorts(t)
	number := publish(t, p, "auto:80")[0].Host
	serving(t, p, f)
	for i := range 40 {
		f.said <- []bool{i%2 == 0}
	}
	f.said <- []bool{true}
	listening(t, p, true)
	conn, err := net.Dial("tcp", at("127.0.0.1", number))
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestPortsChangeWhileTheyAreServed(t *testing.T) {
	session := bootAgent(t)
	guest, _ := guestServer(t, "127.0.0.1:0", echo)
	p := newPorts(t)
	serving(t, p, Session(session))
	first := publish(t, p, fmt.Sprintf("auto:%d", guest))
	listening(t, p, true)
	gone, err := net.Dial("tcp", at("127.0.0.1", first[0].Host))
	if err != nil {
		t.Fatal(err)
	}
	defer gone.Close()
	second := publish(t, p, fmt.Sprintf("auto:%d", guest))
	listening(t, p, true)
	stays, err := net.Dial("tcp", at("127.0.0.1", second[0].Host))
	if err != nil {
		t.Fatal(err)
	}
	defer stays.Close()
	p.Withdraw(first)
	refused(t, at("127.0.0.1", first[0].Host))
	if !stolen(at("127.0.0.1", first[0].Host)) {
		t.Error("a port that was withdrawn can't be taken")
	}
	if _, err := io.Copy(io.Discard, gone); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("a connection of a port that was withdrawn: %v", err)
	}
	_, _ = io.WriteString(stays, "ping")
	if _, err := io.ReadFull(stays, make([]byte, 4)); err != nil {
		t.Errorf("a connection of a port that stays: %v", err)
	}
	conn, err := net.Dial("tcp", at("127.0.0.1", second[0].Host))
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestTakenPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	number := netip.MustParseAddrPort(l.Addr().String()).Port()
	p := newPorts(t)
	ours := spec.Port{Guest: 80, Auto: true}
	_, err = p.Publish([]spec.Port{ours, {Guest: 81, Host: number}})
	e, ok := errors.AsType[*driver.Error](err)
	if !ok || !errors.Is(err, driver.ErrBusy) || !strings.Contains(e.Next, fmt.Sprintf("auto:%d", 81)) {
		t.Errorf("%v, next %q", err, driver.Next(err))
	}
	if s := p.State(); len(s) != 0 {
		t.Errorf("%+v is published although one of them can't be", s)
	}
	// Of two workspaces the first has it.
	other := newPorts(t)
	bound := publish(t, other, "auto:80")
	if _, err := p.Publish([]spec.Port{{Guest: 80, Host: bound[0].Host}}); !errors.Is(err, driver.ErrBusy) {
		t.Error(err)
	}
	if _, err := p.Publish([]spec.Port{{Guest: 80, Host: 8080, Address: "203.0.113.1"}}); !errors.Is(err, driver.ErrNotFound) {
		t.Error(err)
	}
}

func TestSocketPath(t *testing.T) {
	session := bootAgent(t)
	guest := free(t, false)
	dir := t.TempDir()
	path := filepath.Join(dir, "web.sock")
	flag := fmt.Sprintf("unix:%s:%d", path, guest)

	if err := os.WriteFile(path, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := newPorts(t)
	one, err := spec.ParsePort(flag)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Publish([]spec.Port{one}); !errors.Is(err, driver.ErrExists) {
		t.Errorf("over a file: %v", err)
	}
	if text, _ := os.ReadFile(path); string(text) != "kept" {
		t.Errorf("the file is %q now", text)
	}
	_ = os.Remove(path)

	// A program that was killed leaves its socket.
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Publish([]spec.Port{one}); !errors.Is(err, driver.ErrExists) {
		t.Errorf("over a socket in use: %v", err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	publish(t, p, flag)
	stop := serving(t, p, Session(session))
	for range 2 {
		if _, err := net.Dial("unix", path); err == nil {
			t.Error("there is a socket before the server")
		}
		_, end := guestServer(t, at("127.0.0.1", guest), echo)
		listening(t, p, true)
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info, err)
		}
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, "ping")
		_ = conn.(*net.UnixConn).CloseWrite()
		if got, err := io.ReadAll(conn); string(got) != "ping" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		end()
		listening(t, p, false)
	}
	_, _ = guestServer(t, at("127.0.0.1", guest), echo)
	listening(t, p, true)
	if err := errors.Join(os.Remove(path), os.WriteFile(path, []byte("another's"), 0o600)); err != nil {
		t.Fatal(err)
	}
	stop()
	p.Close()
	if text, err := os.ReadFile(path); string(text) != "another's" {
		t.Errorf("what came in the socket's place is %q now, %v", text, err)
	}
	_ = os.Remove(path)
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// TestSocketPathHasOnePort: a path that is lent again would be taken from its port when the second lets go of it.
func TestSocketPathHasOnePort(t *testing.T) {
	p := newPorts(t)
	flag := "unix:" + t.TempDir() + "/s:80"
	publish(t, p, flag)
	again, err := spec.ParsePort(flag)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Publish([]spec.Port{again}); !errors.Is(err, driver.ErrBusy) {
		t.Errorf("a second time: %v", err)
	}
	p2 := newPorts(t)
	if _, err := p2.Publish([]spec.Port{again, again}); !errors.Is(err, driver.ErrBusy) {
		t.Errorf("twice at once: %v", err)
	}
	if n := len(p.State()) + len(p2.State()); n != 1 {
		t.Errorf("%d ports are published, want 1", n)
	}
}

func TestDatagrams(t *testing.T) {
	session := bootAgent(t)
	guest := free(t, true)
	p := newPorts(t)
	number := publish(t, p, fmt.Sprintf("auto:%d/udp", guest))[0].Host
	serving(t, p, Session(session))
	ask := func(conn net.Conn, text string) (string, error) {
		if _, err := io.WriteString(conn, text); err != nil {
			return "", err
		}
		b := make([]byte, 64<<10)
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, err := conn.Read(b)
		return string(b[:n]), err
	}
	for _, address := range []string{"127.0.0.1", "::1"} {
		conn, err := net.Dial("udp", at(address, number))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ask(conn, "x"); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("%s: before the server: %q, %v", address, got, err)
		}
		conn.Close()
	}
	server, err := net.ListenPacket("udp4", at("127.0.0.1", guest))
	if err != nil {
		t.Fatal(err)
	}
	var w sync.WaitGroup
	w.Go(func() {
		b := make([]byte, 64<<10)
		for {
			n, from, err := server.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = server.WriteTo(b[:n], from)
		}
	})
	listening(t, p, true)
	var clients []net.Conn
	for i := range MaxFlows + 10 {
		conn, err := net.Dial("udp", at([]string{"127.0.0.1", "::1"}[i%2], number))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		clients = append(clients, conn)
		want := strings.Repeat(fmt.Sprint(i), 1+i*100)
		if got, err := ask(conn, want); got != want || err != nil {
			t.Errorf("client %d: %d of %d bytes, %v", i, len(got), len(want), err)
		}
	}
	if n := len(p.slots); n > 2*MaxFlows {
		t.Errorf("%d flows", n)
	}
	if got, err := ask(clients[0], "again"); got != "again" || err != nil {
		t.Errorf("the first client comes back: %q, %v", got, err)
	}
	server.Close()
	w.Wait()
	listening(t, p, false)
	if got, err := ask(clients[1], "x"); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("after the server: %q, %v", got, err)
	}
	empty(t, p)
	if c, err := net.ListenPacket("udp4", at("127.0.0.1", number)); err == nil {
		c.Close()
		t.Error("another program could take the port")
	}
}

func TestRangesAndOtherAddresses(t *testing.T) {
	p := newPorts(t)
	bound := publish(t, p, "auto:8000-8003", "0.0.0.0:auto:80", "127.0.0.1:auto:81/udp", "[::]:auto:82", "0.0.0.0:auto:83/udp", "[::]:auto:84/udp")
	if len(bound) != 9 {
		t.Fatalf("%+v", bound)
	}
	for _, b := range bound {
		if b.Host == 0 || b.Count != 0 {
			t.Errorf("%+v has no number", b)
		}
	}
	if stolen(at("0.0.0.0", bound[4].Host)) || stolen(at("127.0.0.1", bound[4].Host)) {
		t.Error("another program could take a port that is bound on all addresses")
	}
}

func TestOldGuestSaysSo(t *testing.T) {
	p := newPorts(t)
	publish(t, p, "auto:80")
	if err := p.Serve(t.Context(), old{}); !errors.Is(err, driver.ErrUnsupported) {
		t.Error(err)
	}
}

type old struct{ *fake }

func (old) Listening(context.Context, []proto.Port) (Watch, error) {
	return nil, &driver.Error{Class: driver.ErrUnsupported, Op: "watch ports"}
}
