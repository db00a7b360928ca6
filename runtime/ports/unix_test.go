package ports

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"microagent/runtime/driver"
	"microagent/runtime/guest/proto"
	"microagent/schema/spec"
)

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

// TestSocketPathIsHeld: a path is one workspace's from the start, before anything lies there, until it lets go.
func TestSocketPathIsHeld(t *testing.T) {
	dir := t.TempDir()
	flag := "unix:" + dir + "/s:80"
	first, second := newPorts(t), newPorts(t)
	publish(t, first, flag)
	one, err := spec.ParsePort(flag)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := second.Publish([]spec.Port{one}); !errors.Is(err, driver.ErrBusy) {
		t.Errorf("another workspace's path: %v", err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	other, err := spec.ParsePort("unix:" + link + "/s:80")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := second.Publish([]spec.Port{other}); !errors.Is(err, driver.ErrBusy) {
		t.Errorf("the same place by another path: %v", err)
	}
	publish(t, second, "unix:"+dir+"/t:80") // its neighbour
	first.Close()
	publish(t, second, flag)
}

// A port of UDP at a path keeps datagrams as they are, of each connection apart.
func TestSocketOfDatagrams(t *testing.T) {
	session := bootAgent(t)
	server, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		b := make([]byte, proto.MaxDatagram)
		for {
			n, from, err := server.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = server.WriteTo(b[:n], from)
		}
	}()
	t.Cleanup(func() { server.Close(); <-served })
	path := filepath.Join(t.TempDir(), "s")
	guest := netip.MustParseAddrPort(server.LocalAddr().String()).Port()
	p := newPorts(t)
	bound, err := p.Publish([]spec.Port{{Guest: guest, Protocol: spec.UDP, Socket: path}})
	if err != nil {
		t.Fatal(err)
	}
	serving(t, p, Session(session))
	if err := p.Settle(t.Context(), bound); err != nil {
		t.Fatal(err)
	}
	var conns []net.Conn
	for range 2 {
		c, err := net.Dial("unixpacket", path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns = append(conns, c)
	}
	for _, size := range []int{1, 1400, 60000} {
		for i, c := range conns {
			if _, err := c.Write(bytes.Repeat([]byte{byte(i)}, size)); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, proto.MaxDatagram)
			if n, err := c.Read(b); n != size || b[n-1] != byte(i) || err != nil {
				t.Errorf("connection %d: %d bytes of %d, %v", i, n, size, err)
			}
		}
	}
	conns[0].Close()
	await(t, "a connection that is gone leaves room", func() bool { return len(p.slots) == 1 })
}

// Settle returns once the guest has said whether there is a server, yes or no.
func TestSettle(t *testing.T) {
	f := newFake()
	p := newPorts(t)
	bound := publish(t, p, "auto:80", "unix:"+filepath.Join(t.TempDir(), "s")+":81")
	serving(t, p, f)
	late, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Settle(late, bound); !errors.Is(err, context.Canceled) {
		t.Errorf("before the guest said anything: %v", err)
	}
	f.said <- []bool{true, false}
	if err := p.Settle(t.Context(), bound); err != nil {
		t.Error(err)
	}
	for i, s := range p.State() {
		if s.Listening != (i == 0) {
			t.Errorf("%+v", s)
		}
	}
}
