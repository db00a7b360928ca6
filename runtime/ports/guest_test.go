package ports

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"microagent/runtime/guest/agent"
	"microagent/runtime/guest/proto"
	"microagent/runtime/guest/proto/serialmux"
	"microagent/runtime/guest/proto/wire"
	"microagent/schema/spec"
)

// machine is a guest that needs no setting up.
type machine struct{}

func (machine) Setup(context.Context, *wire.ConfigureRequest, agent.Owner) error { return nil }
func (machine) MountDisk(*wire.Mount, agent.Owner) error                         { return nil }
func (machine) UnmountDisk(string) error                                         { return nil }
func (machine) Online(context.Context, int, int64) error                         { return nil }
func (machine) Grow(string, int64) (int64, error)                                { return 0, nil }
func (machine) Freezer(string) (agent.Freezer, error)                            { return nil, nil }
func (machine) Trim(string) (int64, error)                                       { return 0, nil }
func (machine) AddEntropy([]byte) error                                          { return nil }
func (machine) SetClock(int64) error                                             { return nil }
func (machine) KillAll()                                                         {}
func (machine) Unmount() []string                                                { return nil }
func (machine) Link() *os.File                                                   { return nil }
func (machine) PowerOff()                                                        {}

// bootAgent is an agent in this process, whose loopback is the host's, over what carries its streams under the adapter.
func bootAgent(t *testing.T) *proto.Session {
	t.Helper()
	g, h := net.Pipe()
	type made struct {
		s   *serialmux.GuestSession
		err error
	}
	guest := make(chan made, 1)
	go func() {
		s, err := serialmux.Guest(t.Context(), g)
		guest <- made{s, err}
	}()
	host, err := serialmux.Host(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	m := <-guest
	if m.err != nil {
		t.Fatal(m.err)
	}
	control, err := m.s.Listen(proto.ControlPort)
	if err != nil {
		t.Fatal(err)
	}
	streams, err := m.s.Listen(proto.StreamPort)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	served := make(chan error, 1)
	go func() { served <- agent.New(machine{}, agent.NewLog(io.Discard)).Serve(ctx, control, streams) }()
	session, err := proto.Connect(t.Context(), func(ctx context.Context, port uint32) (net.Conn, error) { return host.Dial(ctx, port) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = session.Close()
		cancel()
		_ = host.Close()
		_ = m.s.Close()
		if err := <-served; err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
	if err := session.Configure(t.Context(), proto.Config{}); err != nil {
		t.Fatal(err)
	}
	return session
}

// serving runs Serve until stop is called or the test ends.
func serving(t *testing.T, p *Ports, g Guest) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := p.Serve(ctx, g); err != nil {
			t.Errorf("serve: %v", err)
		}
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return stop
}

func newPorts(t *testing.T) *Ports {
	p := New(slog.New(slog.DiscardHandler), 1<<30)
	t.Cleanup(p.Close)
	return p
}

// publish publishes flags and gives them as they are bound.
func publish(t *testing.T, p *Ports, flags ...string) []spec.Port {
	t.Helper()
	var list []spec.Port
	for _, f := range flags {
		one, err := spec.ParsePort(f)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, one)
	}
	bound, err := p.Publish(list)
	if err != nil {
		t.Fatal(err)
	}
	return bound
}

func at(address string, number uint16) string {
	return netip.AddrPortFrom(netip.MustParseAddr(address), number).String()
}

// free is a port on which nothing listens.
func free(t *testing.T, udp bool) uint16 {
	t.Helper()
	n, err := freeNumber(netip.MustParseAddr("127.0.0.1"), udp)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// listening waits until the ports do, or do no more.
func listening(t *testing.T, p *Ports, want bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		all := true
		for _, s := range p.State() {
			all = all && s.Listening == want
		}
		if all {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not in 20 s: listening is %v; %+v", want, p.State())
		}
	}
}

// guestServer serves connections in the guest, which is this machine, each by a goroutine.
func guestServer(t *testing.T, address string, serve func(*net.TCPConn)) (port uint16, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() {
				defer conn.Close()
				serve(conn.(*net.TCPConn))
			})
		}
	})
	stop = sync.OnceFunc(func() { l.Close(); work.Wait() })
	t.Cleanup(stop)
	return netip.MustParseAddrPort(l.Addr().String()).Port(), stop
}

func echo(c *net.TCPConn) {
	_, _ = io.Copy(c, c)
	_ = c.CloseWrite()
}

// fake is a guest that says what it is told to, and takes any connection.
type fake struct {
	said   chan []bool
	dialed chan net.Conn // the guest's ends
	err    error         // of dials
	conn   Conn          // that a dial gives
}

func newFake() *fake { return &fake{said: make(chan []bool), dialed: make(chan net.Conn, 10_000)} }

type pipe struct{ net.Conn }

func (p pipe) CloseWrite() error { return nil }
func (p pipe) Over() error       { _, err := io.Copy(io.Discard, p.Conn); return errors.Join(io.EOF, err) }

func (f *fake) Dial(context.Context, proto.Port) (Conn, error) {
	if f.err != nil {
		return nil, f.err
	}
	if f.conn != nil {
		return f.conn, nil
	}
	host, guest := net.Pipe()
	f.dialed <- guest
	return pipe{host}, nil
}

type told struct {
	said   chan []bool
	closed chan struct{}
	once   sync.Once
}

func (f *fake) Listening(context.Context, []proto.Port) (Watch, error) {
	return &told{said: f.said, closed: make(chan struct{})}, nil
}

func (w *told) Next() ([]bool, error) {
	select {
	case s := <-w.said:
		return s, nil
	case <-w.closed:
		return nil, errors.New("closed")
	}
}

func (w *told) Close() error { w.once.Do(func() { close(w.closed) }); return nil }
