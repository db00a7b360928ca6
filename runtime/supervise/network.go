package supervise

import (
	"context"
	"errors"
	"sync"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/guest/proto"
	"microagent/runtime/network/gateway"
	"microagent/schema/printable"
	"microagent/schema/spec"
)

// network is how a run's guest reaches what is outside: a gateway, another when it dies, and the guest's packets led to
// the one that is there. What the guest may reach outlives each.
type network struct {
	s     *supervisor
	peers *peers
	work  sync.WaitGroup
	stop  context.CancelFunc

	mu      sync.Mutex // what follows
	may     *spec.Network
	process *gateway.Process
	there   chan struct{}       // closed while process is there
	gone    chan struct{}       // closed when the packets of the guest have ended
	state   driver.NetworkState // of process
	before  driver.NetworkState // of those before it
}

// Pauses before a gateway that died, or a stream of packets that broke, is followed by another: the first is short, and
// who does it again and again gets the longest.
const (
	gatewayPause    = 50 * time.Millisecond
	gatewayLongest  = 5 * time.Second
	gatewayReliable = 30 * time.Second
)

// startNetwork starts the gateway of a run that is to have a network; without one it does nothing. The run's end stops it.
func (s *supervisor) startNetwork() error {
	if s.spec.Network == nil {
		return nil
	}
	n := &network{s: s, may: s.spec.Network, there: make(chan struct{})}
	var err error
	if n.peers, err = newPeers(s.state, n.mayReach); err != nil {
		return &driver.Error{Op: "start workspace", Object: s.spec.Workspace.Name, Err: err}
	}
	p, err := n.start()
	if err != nil {
		err = errors.Join(err, n.peers.close())
		return &driver.Error{Op: "start workspace", Object: s.spec.Workspace.Name, Err: err}
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.stop = cancel
	n.work.Go(func() { n.keep(ctx, p) })
	s.network = n
	return nil
}

func (s *supervisor) stopNetwork() {
	if s.network != nil {
		s.network.stop()
		s.network.work.Wait()
		if err := s.network.peers.close(); err != nil {
			s.log.Warn("connections to peers", "error", err)
		}
	}
}

// start starts a gateway and tells it what the guest may reach.
func (n *network) start() (*gateway.Process, error) {
	p, err := gateway.Start(gateway.Options{
		Argv: n.s.spec.Gateway, Denied: n.s.recordDenial, Peer: n.peers.connect, State: n.take, Gone: n.lost,
		Log: func(line string) { n.s.log.Warn("network", "gateway", printable.Line(line)) }, Stderr: logLines{n.s.log, "gateway"},
	})
	if err != nil {
		return nil, err
	}
	if err := n.adopt(p); err != nil {
		p.Close() // which waits for what it says to be taken
		return nil, err
	}
	return p, nil
}

// adopt makes p the gateway that is there.
func (n *network) adopt(p *gateway.Process) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := p.Permit(n.may); err != nil {
		return err
	}
	n.process, n.gone = p, make(chan struct{})
	close(n.there)
	return nil
}

// keep ends with ctx, and so does the gateway. One that dies is followed by another.
func (n *network) keep(ctx context.Context, p *gateway.Process) {
	pause := gatewayPause
	for {
		began := time.Now()
		select {
		case <-ctx.Done():
			p.Close()
			return
		case <-p.Exited():
		}
		n.forget()
		p.Close()
		n.s.log.Error("the gateway died, and its connections with it; another is started", "error", p.Err())
		if time.Since(began) > gatewayReliable {
			pause = gatewayPause
		}
		for again := true; again; pause = min(2*pause, gatewayLongest) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
			var err error
			if p, err = n.start(); err != nil {
				n.s.log.Error("start gateway", "error", err)
			}
			again = err != nil
		}
	}
}

func (n *network) forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.process, n.there = nil, make(chan struct{})
	n.before, n.state = n.state.After(n.before), driver.NetworkState{}
}

// await gives the gateway that is there, as soon as one is; nil when ctx ended.
func (n *network) await(ctx context.Context) (p *gateway.Process, gone <-chan struct{}) {
	for ctx.Err() == nil {
		n.mu.Lock()
		p, gone, there := n.process, n.gone, n.there
		n.mu.Unlock()
		if p != nil {
			return p, gone
		}
		select {
		case <-there:
		case <-ctx.Done():
		}
	}
	return nil, nil
}

// lost hears that the packets of the guest have ended, which the guest's agent may do at any time.
func (n *network) lost() {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.gone)
	n.gone = make(chan struct{})
}

// serveNetwork leads a guest's packets to the gateway until stop is called.
func (s *supervisor) serveNetwork(ctx context.Context, session *proto.Session) (stop func()) {
	if s.network == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	work.Go(func() { s.network.lead(ctx, session) })
	return func() { cancel(); work.Wait() }
}

func (n *network) lead(ctx context.Context, session *proto.Session) {
	for pause := gatewayPause; ; {
		p, gone := n.await(ctx)
		if p == nil {
			return
		}
		began := time.Now()
		conn, err := session.StreamConn(ctx)
		if err == nil {
			err = p.Connect(conn)
		}
		if err == nil {
			select {
			case <-p.Exited():
			case <-gone:
			case <-ctx.Done():
				return
			}
		} else if ctx.Err() == nil {
			n.s.log.Warn("lead the guest's packets", "error", printable.Line(err.Error()))
		}
		if pause = min(2*pause, gatewayLongest); time.Since(began) > gatewayReliable {
			pause = gatewayPause
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

func (n *network) take(s driver.NetworkState) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.state = s
}

// mayReach is what the guest may reach now.
func (n *network) mayReach() *spec.Network {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.may
}

// State is what the network did so far in this run, and what the guest may reach.
func (n *network) State() *driver.NetworkState {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.state.After(n.before)
	s.May = n.may
	return &s
}

// Permit makes n what the guest of this run may reach.
func (s calls) Permit(_ context.Context, may *spec.Network) error {
	const op = "change network of workspace"
	n := s.network
	if n == nil || may == nil {
		return &driver.Error{Class: driver.ErrRefused, Op: op, Object: s.spec.Workspace.Name,
			Err: errors.New("it runs without a network, or is to run without one"), Next: "microagent halt " + s.spec.Workspace.Name}
	}
	if err := n.permit(may); err != nil {
		return err
	}
	return s.saveRun() // which has what it may reach
}

func (n *network) permit(may *spec.Network) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.may = may
	if n.process == nil {
		return nil // the next one is told
	}
	return n.process.Permit(may)
}

// agentHasNetwork is the error of a guest that could not have the network that it is to have.
func (s *supervisor) agentHasNetwork(session *proto.Session) error {
	if s.network == nil || session.Hello().Has(proto.CapPackets) {
		return nil
	}
	return &driver.Error{
		Class: driver.ErrUnsupported, Op: "start workspace", Object: s.spec.Workspace.Name,
		Err: errors.New("its guest's agent is older than networks"), Next: "to build its initramfs anew: microagent kernel install",
	}
}

// guestNetwork is what the guest's interface has; nil for none.
func (s *supervisor) guestNetwork() *proto.Network {
	if s.network == nil {
		return nil
	}
	l := gateway.GuestLink
	return &proto.Network{MTU: gateway.MTU, Addresses: texts(l.Addresses), Gateways: texts(l.Gateways), Nameservers: texts(l.Nameservers)}
}

func texts[T interface{ String() string }](list []T) (all []string) {
	for _, one := range list {
		all = append(all, one.String())
	}
	return all
}
