package stack

import (
	"context"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// Request is a flow that the guest wants to begin. It is refused when its function returns without having accepted it.
type Request struct {
	Flow
	flow   *flow
	accept func() (*Conn, error)
	refuse func()
	done   bool

	unreachable func(Absence)
}

// Context ends when the flow is to end, whether it was accepted or not.
func (r *Request) Context() context.Context { return r.flow.ctx }

// Accept begins the flow, which its Conn ends. The guest may have gone away, or not answer.
func (r *Request) Accept() (*Conn, error) {
	r.done = true
	c, err := r.accept()
	if err != nil {
		return nil, err
	}
	if !r.flow.accepted(c) {
		c.Abort()
		return nil, errEnded
	}
	return c, nil
}

func (r *Request) finish(s *Stack) {
	if !r.done {
		r.refuse()
	}
	if r.flow.conn != nil {
		r.flow.conn.release()
	}
	s.flows.end(r.flow)
}

// connects is called for a SYN, on a goroutine of its own.
func (s *Stack) connects(r *tcp.ForwarderRequest) {
	id := r.ID()
	what := Flow{From: addrPort(id.RemoteAddress, id.RemotePort), To: addrPort(id.LocalAddress, id.LocalPort)}
	own := s.flows.begin(what)
	if own == nil {
		s.full(what)
		r.Complete(true)
		return
	}
	req := &Request{Flow: what, flow: own, refuse: func() { r.Complete(true) }}
	req.unreachable = func(why Absence) { r.Complete(!s.refuseConnection(id, why)) }
	req.accept = func() (*Conn, error) { return handshake(r, own) }
	defer req.finish(s)
	s.config.TCP(req)
}

// handshake ends with the flow at the latest: gVisor's own waits for a guest that has begun a connection and says no more,
// also when the stack is closed.
func handshake(r *tcp.ForwarderRequest, own *flow) (*Conn, error) {
	type outcome struct {
		conn *Conn
		err  error
	}
	done := make(chan outcome)
	go func() {
		queue := &waiter.Queue{}
		ep, err := r.CreateEndpoint(queue)
		r.Complete(err != nil)
		if err != nil {
			select {
			case done <- outcome{err: errorOf("accept", err)}:
			case <-own.ctx.Done():
			}
			return
		}
		chunk := WideChunk
		if !own.wide {
			chunk = narrowChunk
			ep.SocketOptions().SetReceiveBufferSize(narrowIn, true)
			ep.SocketOptions().SetSendBufferSize(narrowOut, true)
		}
		select {
		case done <- outcome{conn: newConn(ep, queue, chunk)}:
		case <-own.ctx.Done():
			ep.Abort()
		}
	}()
	select {
	case o := <-done:
		return o.conn, o.err
	case <-own.ctx.Done():
		return nil, errEnded
	}
}

// datagram is called for the first datagram between two ports, on the goroutine that reads packets.
func (s *Stack) datagram(r *udp.ForwarderRequest) bool {
	id := r.ID()
	what := Flow{From: addrPort(id.RemoteAddress, id.RemotePort), To: addrPort(id.LocalAddress, id.LocalPort), UDP: true}
	own := s.flows.begin(what)
	if own == nil {
		s.full(what)
		return false
	}
	serve := s.config.UDP(what)
	if serve == nil {
		s.flows.end(own)
		return false
	}
	queue := &waiter.Queue{}
	ep, err := r.CreateEndpoint(queue)
	if err != nil {
		s.flows.end(own)
		return false
	}
	c := newConn(ep, queue, maxDatagram)
	c.place = s.datagrams.wait(what, ep, mostWaiting)
	c.unreachable = func(why Absence) { s.refuseDatagrams(id, why) }
	go func() {
		defer s.flows.end(own)
		defer c.release()
		if own.accepted(c) {
			serve(c)
		}
	}()
	return true
}

func (s *Stack) full(what Flow) {
	s.drops.full.Add(1)
	if s.config.Full != nil {
		s.config.Full(what.To, what.UDP)
	}
}

func errorOf(op string, err tcpip.Error) error { return &Error{op, err.String(), err} }
