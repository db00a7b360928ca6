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
	protocol := s.check(b)
	if protocol == 0 {
		s.drops.strange.Add(1)
		return
	}
	n := min(len(b), headers)
	payload := buffer.MakeWithView(buffer.NewViewWithData(b[:n]))
	if n < len(b) {
		_ = payload.Append(buffer.NewViewWithData(b[n:])) // which says of no error
	}
	p := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: payload})
	s.link.deliver(protocol, p)
	p.DecRef()
}

// check gives the family of a packet that the guest may send, 0 for any other. What is malformed further on the stack drops.
func (s *Stack) check(p []byte) tcpip.NetworkProtocolNumber {
	switch header.IPVersion(p) {
	case header.IPv4Version:
		h := header.IPv4(p)
		if h.IsValid(len(p)) && s.passes(h.SourceAddress(), h.DestinationAddress(), h.TransportProtocol() == header.ICMPv4ProtocolNumber) {
			return header.IPv4ProtocolNumber
		}
	case header.IPv6Version:
		h := header.IPv6(p)
		if h.IsValid(len(p)) && s.passes(h.SourceAddress(), h.DestinationAddress(), h.NextHeader() == uint8(header.ICMPv6ProtocolNumber)) {
			return header.IPv6ProtocolNumber
		}
	}
	return 0
}

func (s *Stack) passes(from, to tcpip.Address, icmp bool) bool {
	source, _ := netip.AddrFromSlice(from.AsSlice())
	if !slices.Contains(s.config.Guest, source) {
		return false
	}
	dest, _ := netip.AddrFromSlice(to.AsSlice())
	if dest.IsMulticast() || dest.IsUnspecified() || dest == broadcast || dest.IsLoopback() || dest.Is4In6() {
		return false
	}
	return !icmp || slices.ContainsFunc(s.config.Gateway, func(g netip.Prefix) bool { return g.Addr() == dest })
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
