package stack

import (
	"io"
	"net/netip"
	"slices"
	"sync"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"microagent/runtime/network/packets"
)

// Carry exchanges packets with a guest until their stream ends, and says why; nil for a stream that came to its end. It
// closes the stream. Only one may be under way. Connections of an earlier one go on; EndFlows ends them.
func (s *Stack) Carry(rw io.ReadWriteCloser) error {
	s.link.setOpen(true)
	gone := make(chan struct{})
	var sending sync.WaitGroup
	sending.Go(func() { s.send(rw, gone) })
	err := s.receive(rw)
	close(gone)
	_ = rw.Close()
	sending.Wait()
	s.link.setOpen(false)
	return err
}

// EndFlows ends all that is under way, of a guest that is gone.
func (s *Stack) EndFlows() { s.flows.abort(func(Flow) bool { return true }) }

func (s *Stack) receive(r io.Reader) error {
	in := packets.NewReader(r)
	for {
		p, err := in.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		s.Deliver(p)
	}
}

// headers is how much of a packet lies apart, in bytes: what IP and TCP have at most before their content, and some. gVisor
// copies all that lies together with headers once more.
const headers = 128

// Deliver copies a packet of the guest, and takes that.
func (s *Stack) Deliver(b []byte) {
	e := endsOf(b)
	if !s.passes(e) {
		if !e.to.IsLinkLocalMulticast() { // as what a kernel tells its neighbours unasked, of which there are none
			s.drops.strange.Add(1)
		}
		return
	}
	n := min(len(b), headers)
	payload := buffer.MakeWithView(buffer.NewViewWithData(b[:n]))
	if n < len(b) {
		_ = payload.Append(buffer.NewViewWithData(b[n:])) // which says of no error
	}
	p := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: payload})
	s.link.deliver(e.protocol, p)
	p.DecRef()
}

// ends are where a packet comes from and goes to, none of what is no IP. What is malformed further on the stack drops.
type ends struct {
	protocol tcpip.NetworkProtocolNumber
	from, to netip.Addr
	icmp     bool
}

func endsOf(p []byte) (e ends) {
	switch header.IPVersion(p) {
	case header.IPv4Version:
		if h := header.IPv4(p); h.IsValid(len(p)) {
			e = ends{header.IPv4ProtocolNumber, netip.AddrFrom4(h.SourceAddress().As4()), netip.AddrFrom4(h.DestinationAddress().As4()), h.TransportProtocol() == header.ICMPv4ProtocolNumber}
		}
	case header.IPv6Version:
		if h := header.IPv6(p); h.IsValid(len(p)) {
			e = ends{header.IPv6ProtocolNumber, netip.AddrFrom16(h.SourceAddress().As16()), netip.AddrFrom16(h.DestinationAddress().As16()), h.NextHeader() == uint8(header.ICMPv6ProtocolNumber)}
		}
	}
	return e
}

// passes says whether the guest may send such a packet.
func (s *Stack) passes(e ends) bool {
	if !slices.Contains(s.config.Guest, e.from) {
		return false
	}
	if e.to.IsMulticast() || e.to.IsUnspecified() || e.to == broadcast || e.to.IsLoopback() || e.to.Is4In6() {
		return false
	}
	return !e.icmp || slices.ContainsFunc(s.config.Gateway, func(g netip.Prefix) bool { return g.Addr() == e.to })
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// send gives the guest what the stack sends, as much as waits in one write.
func (s *Stack) send(w io.WriteCloser, gone <-chan struct{}) {
	var batch packets.Batch
	for {
		select {
		case <-s.link.waits:
		case <-gone:
			return
		}
		for {
			_ = batch.Fill(func(b []byte) (int, error) { return s.link.take(b), nil })
			if batch.Len() == 0 {
				break
			}
			if batch.Send(w) != nil {
				_ = w.Close() // which ends the reader as well
				return
			}
		}
	}
}
