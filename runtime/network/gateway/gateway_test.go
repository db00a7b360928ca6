package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"microagent/runtime/driver"
	"microagent/runtime/network/dial"
	"microagent/runtime/network/policy"
	"microagent/runtime/network/stack/stacktest"
	"microagent/schema/spec"
)

// world is what is outside: names, and servers of the test behind public addresses.
type world struct {
	names map[string][]string

	mu      sync.Mutex
	servers map[netip.AddrPort]net.Listener
	dialled []string
}

func (w *world) LookupNetIP(_ context.Context, _, name string) (list []netip.Addr, err error) {
	for _, a := range w.names[strings.TrimSuffix(name, ".")] {
		list = append(list, netip.MustParseAddr(a))
	}
	if list == nil {
		err = &net.DNSError{IsNotFound: true}
	}
	return list, err
}

func (w *world) connect(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error) {
	w.mu.Lock()
	w.dialled = append(w.dialled, to.String())
	l := w.servers[to]
	w.mu.Unlock()
	if l == nil {
		return nil, errors.New("nobody is there")
	}
	var d net.Dialer
	return d.DialContext(ctx, l.Addr().Network(), l.Addr().String())
}

// at serves each connection to an address by handle.
func (w *world) at(t testing.TB, where string, handle func(*net.TCPConn)) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	w.servers[netip.MustParseAddrPort(where)] = l
	w.mu.Unlock()
	var work sync.WaitGroup
	over, end := context.WithCancel(context.Background())
	work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() {
				defer c.Close()
				defer context.AfterFunc(over, func() { c.Close() })()
				handle(c.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() { l.Close(); end(); work.Wait() })
}

func echo(c *net.TCPConn) {
	_, _ = io.Copy(c, c)
	_ = c.CloseWrite()
}

// bench is a guest and its gateway.
type bench struct {
	*stacktest.Guest
	gateway *gateway
	world   *world

	mu      sync.Mutex
	denials []driver.Denial
}

func newBench(t testing.TB, w *world, n *spec.Network) *bench {
	t.Helper()
	if w.servers == nil {
		w.servers = map[netip.AddrPort]net.Listener{}
	}
	b := &bench{Guest: stacktest.New(policy.Guest4, policy.Guest6), world: w}
	g, err := newGateway(Outside{Resolver: w, Dialer: dial.Dialer{Connect: w.connect}}, func(d driver.Denial) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.denials = append(b.denials, d)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.permit(n); err != nil {
		t.Fatal(err)
	}
	b.gateway = g
	near, far := net.Pipe()
	done := make(chan struct{}, 2)
	go func() { _ = g.stack.Carry(near); done <- struct{}{} }()
	go func() { b.Carry(far); done <- struct{}{} }()
	t.Cleanup(func() {
		near.Close()
		far.Close()
		<-done
		<-done
		g.close()
		b.Close()
	})
	return b
}

// lookup asks the gateway as a guest does; a question that was sent before packets were carried is asked again.
func (b *bench) lookup(ctx context.Context, name string) ([]netip.Addr, error) {
	r := net.Resolver{PreferGo: true, Dial: func(_ context.Context, network, _ string) (net.Conn, error) {
		at := netip.AddrPortFrom(policy.Gateway4, 53)
		if strings.HasPrefix(network, "tcp") {
			return b.Dial(ctx, at)
		}
		return b.DialUDP(at)
	}}
	return r.LookupNetIP(ctx, "ip", name+".")
}

// reach resolves a name and connects.
func (b *bench) reach(t testing.TB, name string, port uint16) (net.Conn, error) {
	t.Helper()
	list, err := b.lookup(t.Context(), name)
	if err != nil {
		return nil, err
	}
	return b.Dial(t.Context(), netip.AddrPortFrom(list[0].Unmap(), port))
}

// last is the newest record, which has come or is about to.
func (b *bench) last(t testing.TB, n int) driver.Denial {
	t.Helper()
	for late := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		b.mu.Lock()
		list := b.denials
		b.mu.Unlock()
		if len(list) >= n {
			return list[n-1]
		}
		if time.Now().After(late) {
			t.Fatalf("%d records, not %d: %+v", len(list), n, list)
		}
	}
}

func allow(rules ...spec.Rule) *spec.Network { return &spec.Network{Allow: rules} }

func host(name string, ports ...uint16) spec.Rule {
	r := spec.Rule{Name: "by-" + name[:1], Host: name}
	for _, p := range ports {
		r.Ports = append(r.Ports, spec.PortRange{First: p, Last: p})
	}
	return r
}

func TestByNameAndNothingElse(t *testing.T) {
	w := &world{names: map[string][]string{"api.example.com": {"203.0.113.9"}, "evil.example.com": {"203.0.113.10"}}}
	b := newBench(t, w, allow(host("api.example.com", 80)))
	w.at(t, "203.0.113.9:80", echo)
	w.at(t, "203.0.113.10:80", echo)
	c, err := b.reach(t, "api.example.com", 80)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "hello" {
		t.Errorf("%q, %v", got, err)
	}

	if _, err := b.lookup(t.Context(), "evil.example.com"); err == nil {
		t.Error("a name that is denied is resolved")
	}
	if d := b.last(t, 1); d.Stage != "dns" || !strings.HasPrefix(d.Names[0], "evil.example.com") {
		t.Errorf("%+v", d)
	}
	for _, to := range []string{"203.0.113.10:80", "203.0.113.9:81", "169.254.169.254:80", "198.18.0.1:80", "10.0.0.1:80", "[64:ff9b::7f00:1]:80"} {
		c, err := b.Dial(t.Context(), netip.MustParseAddrPort(to))
		if err == nil {
			t.Errorf("%s is reached", to)
			c.Close()
		}
	}
	if len(w.dialled) != 1 {
		t.Errorf("was dialled: %q", w.dialled)
	}
}

// A name may be given an address that nobody may dial, at once or the next time.
func TestAnswersAreNotBelieved(t *testing.T) {
	w := &world{names: map[string][]string{"api.example.com": {"127.0.0.1", "169.254.169.254", "10.0.0.1", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"}}}
	b := newBench(t, w, allow(host("api.example.com", 80)))
	if list, err := b.lookup(t.Context(), "api.example.com"); err == nil {
		t.Errorf("it is told %v", list)
	}
	for _, a := range []string{"169.254.169.254", "10.0.0.1", "64:ff9b::7f00:1"} { // packets to the others are none of a guest's link
		if c, err := b.Dial(t.Context(), netip.AddrPortFrom(netip.MustParseAddr(a), 80)); err == nil {
			t.Errorf("%s is reached", a)
			c.Close()
		}
	}
	if len(w.dialled) > 0 {
		t.Errorf("was dialled: %q", w.dialled)
	}
}

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

type counting struct {
	net.Conn
	n int
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.n += n
	return n, err
}

// What is allowed may be so no longer a moment later.
func TestAnotherPolicyEndsFlows(t *testing.T) {
	w := &world{names: map[string][]string{"api.example.com": {"203.0.113.9"}, "two.example.com": {"203.0.113.10"}}}
	b := newBench(t, w, allow(host("api.example.com", 80), host("two.example.com", 80)))
	ended := make(chan error, 1)
	w.at(t, "203.0.113.9:80", func(c *net.TCPConn) {
		_, err := io.Copy(c, c)
		ended <- err
	})
	w.at(t, "203.0.113.10:80", echo)
	one, err := b.reach(t, "api.example.com", 80)
	if err != nil {
		t.Fatal(err)
	}
	two, err := b.reach(t, "two.example.com", 80)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []net.Conn{one, two} {
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.gateway.permit(allow(host("two.example.com", 80))); err != nil {
		t.Fatal(err)
	}
	if _, err := one.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "reset") {
		t.Errorf("the guest sees %v", err)
	}
	if err := <-ended; err == nil {
		t.Error("the server sees an end, not a reset")
	}
	if d := b.last(t, 1); d.Address != "203.0.113.9" || d.Port != 80 {
		t.Errorf("%+v", d)
	}
	if _, err := two.Write([]byte("x")); err != nil {
		t.Error(err)
	}
	if _, err := two.Read(make([]byte, 1)); err != nil {
		t.Errorf("what stays allowed: %v", err)
	}
	if _, err := b.Dial(t.Context(), netip.MustParseAddrPort("203.0.113.9:80")); err == nil {
		t.Error("what is no longer allowed is reached")
	}
}

// A connection whose server's name was nobody's concern has none to be judged by.
func TestAnotherPolicyWantsAName(t *testing.T) {
	w := &world{names: map[string][]string{"api.example.com": {"203.0.113.9"}}}
	free := host("api.example.com", 8443)
	b := newBench(t, w, allow(free))
	ended := make(chan error, 1)
	w.at(t, "203.0.113.9:8443", func(c *net.TCPConn) {
		_, err := io.Copy(c, c)
		ended <- err
	})
	c, err := b.reach(t, "api.example.com", 8443)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	strict := free
	strict.TLS = new(true)
	if err := b.gateway.permit(allow(strict)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "reset") {
		t.Errorf("the guest sees %v", err)
	}
	if err := <-ended; err == nil {
		t.Error("the server sees an end, not a reset")
	}
	if d := b.last(t, 1); d.Stage != "sni" || !strings.Contains(d.Reason, "begun when the name") {
		t.Errorf("%+v", d)
	}
}

func TestEndsOfEitherSide(t *testing.T) {
	w := &world{names: map[string][]string{"api.example.com": {"203.0.113.9"}}}
	b := newBench(t, w, allow(host("api.example.com", 80, 81, 82, 83)))
	w.at(t, "203.0.113.9:80", func(c *net.TCPConn) { // answers after the end of what it reads
		data, _ := io.ReadAll(c)
		_, _ = c.Write(data)
	})
	w.at(t, "203.0.113.9:81", func(c *net.TCPConn) { // resets
		_, _ = c.Read(make([]byte, 1))
		_ = c.SetLinger(0)
	})
	got := make(chan error, 1)
	w.at(t, "203.0.113.9:82", func(c *net.TCPConn) {
		_, err := c.Read(make([]byte, 1))
		got <- err
	})
	if _, err := b.lookup(t.Context(), "api.example.com"); err != nil {
		t.Fatal(err)
	}
	at := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr("203.0.113.9"), port) }

	c, err := b.Dial(t.Context(), at(80))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = c.Write([]byte("question"))
	_ = c.CloseWrite()
	if data, err := io.ReadAll(c); err != nil || string(data) != "question" {
		t.Errorf("after the end of what is sent: %q, %v", data, err)
	}
	c.Close()

	if c, err = b.Dial(t.Context(), at(81)); err != nil {
		t.Fatal(err)
	}
	_, _ = c.Write([]byte("x"))
	if _, err := c.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("after a reset of the server: %v", err)
	}
	c.Close()

	reset, err := b.DialReset(at(82))
	if err != nil {
		t.Fatal(err)
	}
	for b.gateway.stack.Flows() == 0 { // it has begun on the guest's side first
		time.Sleep(time.Millisecond)
	}
	reset()
	if err := <-got; err == nil || err == io.EOF {
		t.Errorf("after a reset of the guest: %v", err)
	}

	if _, err := b.Dial(t.Context(), at(83)); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("where nobody is: %v", err)
	}
}

func TestDatagramsBothWays(t *testing.T) {
	w := &world{names: map[string][]string{"time.example.com": {"203.0.113.9"}}, servers: map[netip.AddrPort]net.Listener{}}
	rule := spec.Rule{Name: "time", Host: "time.example.com", UDP: []spec.PortRange{{First: 123, Last: 124}}}
	b := newBench(t, w, allow(rule))
	server, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		buf := make([]byte, 65507)
		for {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = server.WriteTo(buf[:n], from)
		}
	}()
	t.Cleanup(func() { server.Close(); <-served })
	w.mu.Lock()
	w.servers[netip.MustParseAddrPort("203.0.113.9:123")] = packetListener{server}
	w.mu.Unlock()
	if _, err := b.lookup(t.Context(), "time.example.com"); err != nil {
		t.Fatal(err)
	}
	c, err := b.DialUDP(netip.MustParseAddrPort("203.0.113.9:123"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, size := range []int{1, 1400, 60000} {
		if _, err := c.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(make([]byte, 65507)); n != size || err != nil {
			t.Errorf("%d bytes of %d, %v", n, size, err)
		}
	}
	for _, to := range []string{"203.0.113.9:125", "203.0.113.9:443", "203.0.113.10:123"} {
		before := b.Unreachable()
		denied, err := b.DialUDP(netip.MustParseAddrPort(to))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = denied.Write([]byte("x"))
		for late := time.Now().Add(20 * time.Second); b.Unreachable() == before; time.Sleep(time.Millisecond) {
			if time.Now().After(late) {
				t.Fatalf("%s is not unreachable", to)
			}
		}
		denied.Close()
	}
	// Another policy ends datagrams as well.
	if err := b.gateway.permit(allow()); err != nil {
		t.Fatal(err)
	}
	for late := time.Now().Add(20 * time.Second); b.gateway.stack.Flows() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(late) {
			t.Fatal("the flow goes on")
		}
	}
}

// packetListener stands for a server of datagrams.
type packetListener struct{ net.PacketConn }

func (packetListener) Accept() (net.Conn, error) { return nil, errors.ErrUnsupported }
func (l packetListener) Addr() net.Addr          { return l.LocalAddr() }

// Datagrams to a peer go over what its supervisor gives, one a packet, and end with it.
func TestDatagramsToAPeer(t *testing.T) {
	n := &spec.Network{Peers: []spec.Peer{{Name: "db", ID: "p.db", Ports: []spec.Port{{Guest: 53, Protocol: spec.UDP}}}}}
	b := newBench(t, &world{}, n)
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]net.Conn
	for i, fd := range fds {
		if ends[i], err = connOf(os.NewFile(uintptr(fd), "peer")); err != nil {
			t.Fatal(err)
		}
	}
	asked := make(chan string, 1)
	b.gateway.peers = func(_ context.Context, peer string, port uint16, protocol spec.Protocol) (dial.Conn, error) {
		asked <- fmt.Sprint(peer, port, protocol)
		return ends[0].(dial.Conn), nil
	}
	list, err := b.lookup(t.Context(), "db")
	if err != nil {
		t.Fatal(err)
	}
	c, err := b.DialUDP(netip.AddrPortFrom(list[0].Unmap(), 53))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, size := range []int{1, 1400, 60000} {
		if _, err := c.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 65507)
		if got, err := ends[1].Read(buf); got != size || err != nil {
			t.Fatalf("the peer has %d bytes of %d, %v", got, size, err)
		}
		if _, err := ends[1].Write(buf[:size]); err != nil {
			t.Fatal(err)
		}
		if got, err := c.Read(buf); got != size || err != nil {
			t.Errorf("the guest has %d bytes of %d, %v", got, size, err)
		}
	}
	if a := <-asked; a != "db53udp" {
		t.Errorf("%q was asked for", a)
	}
	ends[1].Close()
	for late := time.Now().Add(20 * time.Second); b.gateway.stack.Flows() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(late) {
			t.Fatal("the flow outlives the peer's end of it")
		}
	}
}
