package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"microagent/runtime/network/dial"
	"microagent/runtime/network/dns"
	"microagent/runtime/network/stack"
	"microagent/schema/spec"
)

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

// A guest that opens connections without end to where nobody answers is told of in a line with a count, and what it opened
// before goes on.
func TestFloodIsALine(t *testing.T) {
	w := &world{names: map[string][]string{"api.example.com": {"203.0.113.9"}, "slow.example.com": {"203.0.113.10"}}}
	b := newBench(t, w, allow(host("api.example.com", 80), host("slow.example.com", 80)))
	w.at(t, "203.0.113.9:80", echo)
	silent := make(chan struct{})
	w.mu.Lock()
	w.silent = map[netip.AddrPort]<-chan struct{}{netip.MustParseAddrPort("203.0.113.10:80"): silent}
	w.mu.Unlock()
	c, err := b.reach(t, "api.example.com", 80)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := b.lookup(t.Context(), "slow.example.com"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var open sync.WaitGroup
	for range 300 {
		open.Go(func() {
			if c, err := b.Dial(ctx, netip.MustParseAddrPort("203.0.113.10:80")); err == nil {
				c.Close()
			}
		})
	}
	for late := time.Now().Add(20 * time.Second); b.gateway.stack.Dropped().Opening == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(late) {
			t.Fatal("nothing is dropped")
		}
	}
	b.gateway.noteFlood()
	if d := b.last(t, 1); d.Rule != "limit:opening" || d.Count == 0 || !strings.HasPrefix(d.Text(), "tcp denied by limit:opening: too many connections") {
		t.Errorf("%+v", d)
	}
	said(t, c)
	cancel()
	close(silent)
	open.Wait()
}

// Datagrams to more ports than there are places for, and more questions than may wait, have a record each that says so, and
// what was open before goes on while they are there; so it does beside connections whose guest reads nothing.
func TestFloodsLeaveOthersAlone(t *testing.T) {
	api := host("api.example.com", 80, 81)
	api.UDP = []spec.PortRange{{First: 1000, Last: 2000}}
	w := &world{names: map[string][]string{"api.example.com": {"203.0.113.9"}}}
	b := newBench(t, w, &spec.Network{Allow: []spec.Rule{api, {Name: "stuck", Suffix: "stuck.example", Ports: []spec.PortRange{{First: 80, Last: 80}}}}})
	w.at(t, "203.0.113.9:80", echo)
	w.at(t, "203.0.113.9:81", func(c *net.TCPConn) { _, _ = io.Copy(c, zeros{}) })
	silent, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	w.mu.Lock()
	for port := range uint16(1000) {
		w.servers[netip.AddrPortFrom(netip.MustParseAddr("203.0.113.9"), 1000+port)] = packetListener{silent}
	}
	w.mu.Unlock()
	c, err := b.reach(t, "api.example.com", 80)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	said(t, c)

	for range 16 { // which read nothing
		deaf, err := b.Dial(t.Context(), netip.MustParseAddrPort("203.0.113.9:81"))
		if err != nil {
			t.Fatal(err)
		}
		defer deaf.Close()
	}
	said(t, c)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var asking sync.WaitGroup
	for i := range 2 * dns.MostUnderWay {
		asking.Go(func() { _, _ = b.lookup(ctx, fmt.Sprintf("n%d.stuck.example", i)) })
	}
	if d := b.last(t, 1); d.Rule != "limit:dns" {
		t.Errorf("%+v", d)
	}
	said(t, c)
	cancel()
	asking.Wait()

	for port := range uint16(1000) {
		one, err := b.DialUDP(netip.AddrPortFrom(netip.MustParseAddr("203.0.113.9"), 1000+port))
		if err != nil {
			t.Fatal(err)
		}
		defer one.Close()
		_, _ = one.Write([]byte("x"))
		if n := b.gateway.stack.Flows(); n > stack.MostFlows {
			t.Fatalf("%d flows", n)
		}
	}
	for late := time.Now().Add(20 * time.Second); !b.recorded("limit:flows"); time.Sleep(time.Millisecond) {
		if time.Now().After(late) {
			t.Fatal("no record says that there is no place")
		}
	}
	said(t, c)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

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

// Where this host has no way to a place, the guest is told so.
func TestNoWay(t *testing.T) {
	w := &world{names: map[string][]string{"api.example.com": {"203.0.113.9"}}}
	api := host("api.example.com", 80)
	api.UDP = []spec.PortRange{{First: 123, Last: 123}}
	b := newBench(t, w, allow(api))
	w.mu.Lock()
	w.offline = true
	w.mu.Unlock()
	if _, err := b.reach(t, "api.example.com", 80); err == nil || !strings.Contains(err.Error(), "network is unreachable") {
		t.Errorf("the guest sees %v", err)
	}
	c, err := b.DialUDP(netip.MustParseAddrPort("203.0.113.9:123"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for n := range uint64(2) { // each is told of
		_, _ = c.Write([]byte("x"))
		for late := time.Now().Add(20 * time.Second); b.Unreachable() == n; time.Sleep(time.Millisecond) {
			if time.Now().After(late) {
				t.Fatal("a datagram is lost without a word")
			}
		}
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
