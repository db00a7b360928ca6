package ports

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"microagent/runtime/guest/proto"
)

const (
	// flowIdle is how long a peer of UDP is remembered that neither sends nor is sent anything.
	flowIdle = 60 * time.Second
	// flowQueue is how many datagrams of a peer wait for the guest; more are lost, as they would be on a network.
	flowQueue = 16
)

// udpGate has a flow for each peer that sent something.
type udpGate struct {
	mu     sync.Mutex
	locked bool
	conn   *net.UDPConn
	at     netip.AddrPort
	end    func()
}

func newUDPGate(f *os.File, at netip.AddrPort) (gate, error) {
	c, err := net.FilePacketConn(f)
	if err != nil {
		return nil, err
	}
	g := &udpGate{conn: c.(*net.UDPConn), at: at}
	if err := g.deafen(); err != nil {
		_ = c.Close()
		return nil, err
	}
	return g, nil
}

// deafen connects the socket to itself, and throws away what came before.
func (g *udpGate) deafen() error {
	self := g.at // an address that means all is loopback here
	return control(g.conn, func(fd int) error {
		if err := unix.Connect(fd, sockaddr(self)); err != nil {
			return os.NewSyscallError("connect", err)
		}
		for b := make([]byte, 1); ; {
			if _, _, err := unix.Recvfrom(fd, b, unix.MSG_DONTWAIT); err != nil && !errors.Is(err, unix.EINTR) {
				return nil
			}
		}
	})
}

// hear undoes deafen: the socket keeps its number and its address.
func (g *udpGate) hear() error {
	return control(g.conn, func(fd int) error {
		none := unix.RawSockaddr{Family: unix.AF_UNSPEC}
		_, _, errno := unix.Syscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&none)), unsafe.Sizeof(none))
		if errno != 0 {
			return os.NewSyscallError("connect", errno)
		}
		return nil
	})
}

func (g *udpGate) open(l *life, p *port) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.locked || g.end != nil {
		return nil
	}
	if err := g.hear(); err != nil {
		return err
	}
	if err := g.conn.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(l.ctx)
	s := &flows{life: l, port: p, conn: g.conn, ctx: ctx, list: map[netip.AddrPort]*flow{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.receive()
	}()
	g.end = func() {
		_ = g.deafen() // fails only where the socket is closed
		cancel()
		_ = g.conn.SetReadDeadline(time.Unix(1, 0))
		<-done
	}
	return nil
}

func (g *udpGate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shutLocked()
}

func (g *udpGate) shutLocked() {
	if g.end != nil {
		g.end()
		g.end = nil
	}
}

func (g *udpGate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shutLocked()
	g.locked = true
	_ = g.conn.Close()
}

// flows are the peers of one socket while it is open.
type flows struct {
	life *life
	port *port
	conn *net.UDPConn
	ctx  context.Context

	mu   sync.Mutex
	list map[netip.AddrPort]*flow
}

// flow is one peer.
type flow struct {
	peer   netip.AddrPort
	queue  chan []byte
	cancel context.CancelFunc
	heard  time.Time // of either side, under flows.mu
}

// receive hands datagrams to flows until the socket has no more for us.
func (s *flows) receive() {
	buffer := make([]byte, proto.MaxDatagram)
	for {
		n, peer, err := s.conn.ReadFromUDPAddrPort(buffer)
		if s.ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // of a datagram that we sent and nobody took
			continue
		}
		if f := s.of(peer); f != nil {
			select {
			case f.queue <- append([]byte(nil), buffer[:n]...):
			default:
			}
		}
	}
}

// of is a peer's flow, a new one where it has none; nil where there is no room for one.
func (s *flows) of(peer netip.AddrPort) *flow {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.list[peer]; f != nil {
		f.heard = time.Now()
		return f
	}
	for len(s.list) >= MaxFlows {
		s.dropSilent()
	}
	select {
	case s.life.ports.slots <- struct{}{}:
	default:
		return nil
	}
	ctx, cancel := context.WithCancel(s.ctx)
	f := &flow{peer: peer, queue: make(chan []byte, flowQueue), cancel: cancel, heard: time.Now()}
	s.list[peer] = f
	s.life.work.Go(func() {
		defer func() { <-s.life.ports.slots }()
		defer s.forget(f)
		s.carry(ctx, f)
	})
	return f
}

// dropSilent ends the flow that is silent for longest. Under mu.
func (s *flows) dropSilent() {
	var oldest *flow
	for _, f := range s.list {
		if oldest == nil || f.heard.Before(oldest.heard) {
			oldest = f
		}
	}
	oldest.cancel()
	delete(s.list, oldest.peer)
}

func (s *flows) forget(f *flow) {
	f.cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.list[f.peer] == f {
		delete(s.list, f.peer)
	}
}

// carry takes a peer's datagrams to the guest's server and its answers back, until either is silent for too long.
func (s *flows) carry(ctx context.Context, f *flow) {
	dialling, cancel := context.WithTimeout(ctx, dialPatience)
	server, err := s.life.guest.Dial(dialling, s.port.guest)
	cancel()
	if err != nil {
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	back := make(chan struct{})
	go func() {
		defer close(back)
		defer f.cancel()
		in, p := proto.NewDatagrams(server), make([]byte, proto.MaxDatagram)
		for {
			n, err := in.Receive(p)
			if err != nil {
				return
			}
			s.touch(f)
			_, _ = s.conn.WriteToUDPAddrPort(p[:n], f.peer) // a peer that is gone takes none
		}
	}()
	out := proto.NewDatagrams(server)
	for idle := time.NewTimer(flowIdle); ctx.Err() == nil; {
		select {
		case d := <-f.queue:
			if out.Send(d) != nil {
				f.cancel()
			}
		case <-idle.C:
			left := flowIdle - s.silence(f)
			if left <= 0 {
				f.cancel()
			}
			idle.Reset(max(left, time.Millisecond))
		case <-ctx.Done():
		}
	}
	_ = server.Close()
	<-back
}

func (s *flows) touch(f *flow) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.heard = time.Now()
}

func (s *flows) silence(f *flow) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(f.heard)
}
