// Package ports is how the host reaches servers in a guest: it holds the published ports of one workspace and carries
// what comes to them over streams to the guest's agent, one a connection. The guest needs no network for it.
//
// Promised: a port is bound from Publish to its end, so that nobody else can take it, and takes connections only while
// the guest's own table says that a server is there: a connect is refused before and after. Where the server is gone by
// the time a connection came, that is reset before any byte. Both directions end by themselves; what breaks is a
// reset on the other side; no byte is lost before an end, or doubled. A guest that reboots finds its ports bound.
//
// Bounded, whatever guest and clients do: one connection at a time for each 2 MiB of the guest's memory, MaxConnections
// at most, and half of that on one port; those above wait in the kernel's queue. What a server does not take is some
// 0.6 MiB of the guest's memory each, so that one that reads nothing does not bring its guest down. One of TCP takes about 128 KiB here (three buffers of 32 KiB, stacks), so 64 MiB at most;
// one of UDP twice that, and of those there are MaxFlows a port: the peer that is silent for longest gives way. What a
// guest sends and a client does not take is another MiB each in the adapter, the window of its stream. A stream whose
// connection came to its end carries the next, and 32 are kept for that, 3 MiB with the adapter's. A guest that opens
// and closes its servers in a loop gets a tenth of a processor. Never: a connection that the guest opens, a port that was
// not published, a file overwritten by a socket.
//
// A socket of TCP that is bound and listens no more is made by shutdown(2), which Linux takes as the end of listening
// alone (inet_shutdown in net/ipv4/af_inet.c); of UDP by connecting it to itself, so that datagrams of others are answered
// as where no socket is. A unix socket is there while it listens.
//
// Package supervise imports it.
package ports

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"microagent/runtime/guest/proto"
	"microagent/schema/spec"
)

// Limits.
const (
	MaxConnections = 512
	MaxFlows       = 64
	memoryOfOne    = 2 << 20 // of the guest's, for each connection
)

// Conn is a connection to a server in the guest. A Read that ends otherwise than with io.EOF, and a Close before
// CloseWrite, are resets.
type Conn interface {
	io.ReadWriteCloser
	CloseWrite() error
	Over() error // after both ends, nil when the server has all that was written
}

// Watch tells which ports have a server: see proto.Listening.
type Watch interface {
	Next() ([]bool, error)
	Close() error
}

// Guest is one boot of a guest. Dial may leave it to the first Read to say that no server took the connection.
type Guest interface {
	Dial(ctx context.Context, port proto.Port) (Conn, error)
	Listening(ctx context.Context, ports []proto.Port) (Watch, error)
}

// Session is the guest of a session.
func Session(s *proto.Session) Guest { return session{s} }

type session struct{ s *proto.Session }

func (g session) Dial(ctx context.Context, port proto.Port) (Conn, error) {
	st, err := g.s.Dial(ctx, port)
	if err != nil {
		return nil, err
	}
	return st, nil
}

func (g session) Listening(ctx context.Context, ports []proto.Port) (Watch, error) {
	l, err := g.s.Listening(ctx, ports)
	if err != nil {
		return nil, err
	}
	return l, nil
}

// Ports are those of one workspace. The zero is not usable: see New.
type Ports struct {
	log   *slog.Logger
	slots chan struct{} // one a connection
	letGo time.Duration // how long a guest may take to give a server what a client that is gone had sent

	mu      sync.Mutex
	list    []*port
	changed chan struct{} // closed and made anew at each change of list
}

// New has no ports yet; memory is the guest's, in bytes.
func New(log *slog.Logger, memory int64) *Ports {
	return &Ports{
		log: log, slots: make(chan struct{}, max(2, min(memory/memoryOfOne, MaxConnections))), letGo: 5 * time.Second, changed: make(chan struct{}),
	}
}

// port is a single published one.
type port struct {
	spec  spec.Port
	guest proto.Port
	gates []gate
	slots chan struct{} // one a connection
	open  bool          // under Ports.mu
	lent  bool

	told chan struct{} // closed when the guest has said for the first time whether it has a server

	ctx    context.Context // of its connections
	cancel context.CancelFunc
}

// gate is a socket of the host.
type gate interface {
	// open begins to take connections for l, and shut ends that; what was taken before goes on.
	open(l *life, p *port) error
	shut()
	close()
}

// Publish binds ports, all or none, and gives them as they are bound, one by one. An error is a *driver.Error: ErrBusy
// where another program has a port.
func (p *Ports) Publish(list []spec.Port) ([]spec.Port, error) { return p.bind(list, false) }

// Lend is Publish for another part of this program: State does not tell of them.
func (p *Ports) Lend(list []spec.Port) ([]spec.Port, error) { return p.bind(list, true) }

func (p *Ports) bind(list []spec.Port, lent bool) ([]spec.Port, error) {
	var made []*port
	var bound []spec.Port
	for _, some := range list {
		if !some.Published() {
			continue
		}
		for _, one := range some.Each() {
			m, err := bind(one, cap(p.slots)/2)
			if err != nil {
				closeAll(made)
				return nil, err
			}
			m.lent = lent
			made, bound = append(made, m), append(bound, m.spec)
		}
	}
	p.change(func(all []*port) []*port { return append(slices.Clone(all), made...) })
	return bound, nil
}

// Settle returns when the guest has said of each port that Publish gave whether a server is there, so that from then on the
// port takes connections or refuses them for good reason.
func (p *Ports) Settle(ctx context.Context, list []spec.Port) error {
	p.mu.Lock()
	var wait []<-chan struct{}
	for _, one := range p.list {
		if slices.Contains(list, one.spec) {
			wait = append(wait, one.told)
		}
	}
	p.mu.Unlock()
	for _, told := range wait {
		select {
		case <-told:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func closeAll(list []*port) {
	for _, one := range list {
		one.close()
	}
}

// Withdraw lets go of ports that Publish gave, and resets their connections.
func (p *Ports) Withdraw(list []spec.Port) {
	var gone []*port
	p.change(func(all []*port) []*port {
		return slices.DeleteFunc(slices.Clone(all), func(one *port) bool {
			leaves := slices.Contains(list, one.spec)
			if leaves {
				gone = append(gone, one)
			}
			return leaves
		})
	})
	closeAll(gone)
}

// Close lets go of all ports. Serve has to have returned.
func (p *Ports) Close() { p.Withdraw(p.bound()) }

// change replaces the list, and tells Serve.
func (p *Ports) change(f func([]*port) []*port) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = f(p.list)
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *Ports) bound() []spec.Port {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []spec.Port
	for _, one := range p.list {
		list = append(list, one.spec)
	}
	return list
}

// State is what is published now.
func (p *Ports) State() []spec.PortState {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []spec.PortState
	for _, one := range p.list {
		if !one.lent {
			list = append(list, spec.PortState{Port: one.spec, Listening: one.open})
		}
	}
	return list
}

func (one *port) close() {
	one.cancel()
	for _, g := range one.gates {
		g.close()
	}
}

// bind makes the sockets of a single port, none of which takes connections yet.
func bind(one spec.Port, connections int) (*port, error) {
	p := &port{
		spec: one, guest: proto.Port{Number: one.Guest, UDP: one.UDP()}, slots: make(chan struct{}, connections), told: make(chan struct{}),
	}
	var err error
	switch {
	case one.Socket != "":
		p.gates, err = bindUnix(one.Socket, one.UDP())
	case one.Auto && one.Host == 0:
		p.gates, p.spec.Host, err = bindAny(one)
	default:
		p.gates, err = bindNumber(one, one.Host)
	}
	if err != nil {
		return nil, publishError(one, err)
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p, nil
}

// addresses are those that a port is bound to. One that the host has not is left out of two, as where IPv6 is off.
func addresses(one spec.Port) []netip.Addr {
	if a, err := netip.ParseAddr(one.Address); err == nil {
		return []netip.Addr{a}
	}
	return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
}

// attempts is how often bindAny looks for a number that is free in both families.
const attempts = 64

func bindAny(one spec.Port) (gates []gate, number uint16, err error) {
	for range attempts {
		if number, err = freeNumber(addresses(one)[0], one.UDP()); err != nil {
			return nil, 0, err
		}
		if gates, err = bindNumber(one, number); err == nil || !taken(err) {
			return gates, number, err
		}
	}
	return nil, 0, errors.New("no number is free in both families")
}

func bindNumber(one spec.Port, number uint16) ([]gate, error) {
	var gates []gate
	all := addresses(one)
	for _, a := range all {
		g, err := bindSocket(netip.AddrPortFrom(a, number), one.UDP())
		if err != nil && absent(err) && len(gates) > 0 {
			continue
		}
		if err != nil {
			for _, g := range gates {
				g.close()
			}
			return nil, err
		}
		gates = append(gates, g)
	}
	return gates, nil
}
