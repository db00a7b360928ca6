package gateway

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestHandshakeNamesTheServer(t *testing.T) {
	server := httptest.NewUnstartedServer(nil)
	server.StartTLS()
	defer server.Close()
	config := &tls.Config{Certificates: server.TLS.Certificates}
	w := &world{names: map[string][]string{"api.example.com": {"203.0.113.9"}}}
	b := newBench(t, w, allow(host("api.example.com", 443)))
	saw := make(chan int, 8)
	w.at(t, "203.0.113.9:443", func(c *net.TCPConn) {
		counted := &counting{Conn: c}
		if s := tls.Server(counted, config); s.Handshake() == nil {
			_, _ = io.Copy(s, s)
		}
		saw <- counted.n
	})
	c, err := b.reach(t, "api.example.com", 443)
	if err != nil {
		t.Fatal(err)
	}
	s := tls.Client(c, &tls.Config{ServerName: "api.example.com", InsecureSkipVerify: true})
	if err := s.Handshake(); err != nil {
		t.Error(err)
	}
	_ = s.Close()
	c.Close()
	if n := <-saw; n == 0 {
		t.Error("the server saw nothing")
	}
	for i, begin := range []func(net.Conn) error{
		func(c net.Conn) error {
			return tls.Client(c, &tls.Config{ServerName: "evil.example.com", InsecureSkipVerify: true}).Handshake()
		},
		func(c net.Conn) error { return tls.Client(c, &tls.Config{InsecureSkipVerify: true}).Handshake() },
		func(c net.Conn) error {
			_, err := c.Write([]byte("GET / HTTP/1.0\r\nHost: api.example.com\r\n\r\n"))
			if err == nil {
				_, err = c.Read(make([]byte, 1))
			}
			return err
		},
	} {
		c, err := b.reach(t, "api.example.com", 443)
		if err != nil {
			t.Fatal(err)
		}
		if err := begin(c); err == nil {
			t.Errorf("beginning %d goes through", i)
		}
		c.Close()
		if n := <-saw; n > 0 {
			t.Errorf("of beginning %d the server saw %d bytes", i, n)
		}
		if s := b.gateway.denials.State(); s.Denied != i+1 || s.Last.Stage != "sni" || i == 0 && s.Last.Server != "evil.example.com" {
			t.Errorf("beginning %d: %+v", i, s)
		}
	}
}

// Who connects to a port of TLS and waits for the server to begin is told of, and goes.
func TestNoHandshakeComes(t *testing.T) {
	w := &world{names: map[string][]string{"api.example.com": {"203.0.113.9"}}}
	b := newBench(t, w, allow(host("api.example.com", 443)))
	b.gateway.helloPatience = time.Millisecond
	w.at(t, "203.0.113.9:443", func(c *net.TCPConn) { _, _ = c.Write([]byte("220 ready")); _, _ = io.Copy(io.Discard, c) })
	c, err := b.reach(t, "api.example.com", 443)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if n, err := c.Read(make([]byte, 1)); n > 0 || err == nil || err == io.EOF {
		t.Errorf("the guest has %d bytes, %v", n, err)
	}
	if d := b.last(t, 1); d.Stage != "sni" || !strings.Contains(d.Reason, "no handshake came within 1ms") {
		t.Errorf("%+v", d)
	}
}

// A handshake may come in any pieces, and nothing of it goes out before all of its name is there.
func TestHandshakeInPieces(t *testing.T) {
	w := &world{names: map[string][]string{"api.example.com": {"203.0.113.9"}}}
	b := newBench(t, w, allow(host("api.example.com", 443)))
	came := make(chan []byte, 4)
	w.at(t, "203.0.113.9:443", func(c *net.TCPConn) {
		all, _ := io.ReadAll(c)
		came <- all
	})
	for server, allowed := range map[string]bool{"api.example.com": true, "evil.example.com": false} {
		c, err := b.reach(t, "api.example.com", 443)
		if err != nil {
			t.Fatal(err)
		}
		sent := clientHello(t, server)
		for i := range sent {
			if _, err := c.Write(sent[i : i+1]); err != nil {
				break // the last byte of the name was one too many
			}
		}
		_ = c.(interface{ CloseWrite() error }).CloseWrite()
		if got := <-came; allowed != bytes.Equal(got, sent) || !allowed && len(got) > 0 {
			t.Errorf("%s: the server saw %d bytes of %d", server, len(got), len(sent))
		}
		c.Close()
	}
}

// clientHello is what a client of TLS sends first.
func clientHello(t *testing.T, server string) []byte {
	t.Helper()
	near, far := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = tls.Client(near, &tls.Config{ServerName: server}).Handshake() // ends with far
	}()
	head := make([]byte, 5)
	if _, err := io.ReadFull(far, head); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, int(head[3])<<8|int(head[4]))
	if _, err := io.ReadFull(far, body); err != nil {
		t.Fatal(err)
	}
	far.Close()
	<-done
	return append(head, body...)
}

type counting struct {
	net.Conn
	n int
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.n += n
	return n, err
}
