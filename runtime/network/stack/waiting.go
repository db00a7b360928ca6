package stack

import (
	"net"
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

// mostWaiting is how many datagrams between two ports wait to be received, and mostQuestions how many at an address of the
// gateway. gVisor bounds their bytes alone, which are none for empty ones, and little of what one takes for small ones.
const (
	mostWaiting   = 32
	mostQuestions = 256
)

// datagrams is gVisor's UDP, which drops what has no place to wait.
type datagrams struct {
	stack.TransportProtocol
	dropped atomic.Uint64

	mu     sync.Mutex // what follows
	places map[Flow]*place
}

// place is where datagrams wait for whoever receives them: those of a flow, or those to one address, whose flow has no From.
type place struct {
	owner *datagrams
	key   Flow
	most  uint64
	ep    tcpip.Endpoint
	taken atomic.Uint64
}

func newDatagrams() *datagrams { return &datagrams{places: map[Flow]*place{}} }

// protocol is a stack.TransportProtocolFactory.
func (d *datagrams) protocol(s *stack.Stack) stack.TransportProtocol {
	d.TransportProtocol = udp.NewProtocol(s)
	return d
}

// Parse is called for each whole datagram, before anybody else looks at it: a part of one waits for the others elsewhere.
func (d *datagrams) Parse(p *stack.PacketBuffer) bool {
	h, ok := p.Data().PullUp(header.UDPMinimumSize)
	if !ok {
		return false
	}
	ip, ports := p.Network(), header.UDP(h)
	to := addrPort(ip.DestinationAddress(), ports.DestinationPort())
	if d.full(Flow{From: addrPort(ip.SourceAddress(), ports.SourcePort()), To: to, UDP: true}) || d.full(Flow{To: to, UDP: true}) {
		d.dropped.Add(1)
		return false
	}
	return d.TransportProtocol.Parse(p)
}

func (d *datagrams) full(key Flow) bool {
	d.mu.Lock()
	p := d.places[key]
	d.mu.Unlock()
	return p != nil && p.waiting() >= p.most
}

// wait makes ep the place of what key says.
func (d *datagrams) wait(key Flow, ep tcpip.Endpoint, most uint64) *place {
	p := &place{owner: d, key: key, ep: ep, most: most}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.places[key] = p
	return p
}

// waiting is how many came, were not dropped by gVisor, and were not taken.
func (p *place) waiting() uint64 {
	s, ok := p.ep.Stats().(*tcpip.TransportEndpointStats)
	if !ok {
		return 0
	}
	taken := p.taken.Load() // first: what comes in between counts as waiting
	return s.PacketsReceived.Value() - s.ReceiveErrors.ReceiveBufferOverflow.Value() - s.ReceiveErrors.ClosedReceiver.Value() - taken
}

// leave ends it; another may have taken its place.
func (p *place) leave() {
	p.owner.mu.Lock()
	defer p.owner.mu.Unlock()
	if p.owner.places[p.key] == p {
		delete(p.owner.places, p.key)
	}
}

// questions is the connection of what answers at an address of the gateway.
type questions struct {
	*gonet.UDPConn
	*place
}

func (q questions) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := q.UDPConn.ReadFrom(b)
	if err == nil {
		q.taken.Add(1)
	}
	return n, from, err
}

func (q questions) Close() error {
	q.leave()
	return q.UDPConn.Close()
}
