package gateway

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
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
	silent  map[netip.AddrPort]<-chan struct{} // nobody answers there before its end
	offline bool
	dialled []string
}

func (w *world) Lookup(ctx context.Context, name string) (list []netip.Addr, through []string, err error) {
	if strings.HasSuffix(name, ".stuck.example") { // nobody answers
		<-ctx.Done()
		return nil, nil, ctx.Err()
	}
	for _, a := range w.names[name] {
		list = append(list, netip.MustParseAddr(a))
	}
	if list == nil {
		err = &net.DNSError{IsNotFound: true}
	}
	return list, nil, err
}

func (w *world) connect(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error) {
	w.mu.Lock()
	w.dialled = append(w.dialled, to.String())
	l, silent, offline := w.servers[to], w.silent[to], w.offline
	w.mu.Unlock()
	if offline {
		return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", unix.ENETUNREACH)}
	}
	if silent != nil {
		select {
		case <-silent:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
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
	return lookupBy(ctx, b.Guest, name)
}

func lookupBy(ctx context.Context, g *stacktest.Guest, name string) ([]netip.Addr, error) {
	r := net.Resolver{PreferGo: true, Dial: func(_ context.Context, network, _ string) (net.Conn, error) {
		at := netip.AddrPortFrom(policy.Gateway4, 53)
		if strings.HasPrefix(network, "tcp") {
			return g.Dial(ctx, at)
		}
		return g.DialUDP(at)
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

// recorded says whether a record has a rule.
func (b *bench) recorded(rule string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.ContainsFunc(b.denials, func(d driver.Denial) bool { return d.Rule == rule })
}

func allow(rules ...spec.Rule) *spec.Network { return &spec.Network{Allow: rules} }

func host(name string, ports ...uint16) spec.Rule {
	r := spec.Rule{Name: "by-" + name[:1], Host: name}
	for _, p := range ports {
		r.Ports = append(r.Ports, spec.PortRange{First: p, Last: p})
	}
	return r
}
