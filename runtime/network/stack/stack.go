// Package stack ends a guest's connections on the host, in user space: gVisor's TCP/IP between the packets of one
// interface and the bytes of connections. It is the only importer of gvisor.dev/gvisor/pkg/tcpip.
//
// Promised: a connection is decided on before it is accepted, so that one that is refused looks refused to the guest;
// the end of either direction, and a reset, are passed on as such. All buffers together, the packets that wait for the guest
// and the number of connections are bounded, whatever the guest sends and however little it reads: what goes beyond is
// dropped or refused, and counted. Never: a packet that does not come from the guest's own address, a packet to a
// destination that is no single host, an answer for another host than the gateway but for TCP and UDP. It decides
// nothing about destinations, and dials nothing.
package stack

import (
	"fmt"
	"net/netip"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"microagent/runtime/driver"
)

// Config is what a stack is for.
type Config struct {
	MTU     uint32
	Guest   []netip.Addr   // the guest's own, of which a packet must come
	Gateway []netip.Prefix // the stack's own, which answer pings
	// TCP is called for each connection that the guest begins, on a goroutine of its own. What it doesn't accept is refused.
	TCP func(*Request)
	// UDP is called for the first datagram between two ports, and must not wait: nil refuses it, anything else is called with
	// the flow on a goroutine of its own.
	UDP func(Flow) func(*Conn)
	// Full is called for what the bound on flows refuses, on the goroutine that reads packets: it must not wait.
	Full func(to netip.AddrPort, udp bool)
}

// Stack is the host's end of one guest's network. What ends it is Close.
type Stack struct {
	config Config
	stack  *stack.Stack
	link   *link
	flows  flows
	drops  drops

	beginnings *beginnings
	datagrams  *datagrams
}

type drops struct{ strange, full atomic.Uint64 }

const nic tcpip.NICID = 1

// mostOpening is how many connections may be under way to be decided on and accepted; the guest tries again.
const mostOpening = 128

// New makes a stack without a guest: Carry connects one.
func New(c Config) (*Stack, error) {
	s := &Stack{config: c, link: newLink(c.MTU), beginnings: newBeginnings(), datagrams: newDatagrams()}
	s.flows.init()
	s.stack = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, s.datagrams.protocol}, // ICMP is of the network's layer, but for its sockets
	})
	if err := s.configure(); err != nil {
		s.stack.Destroy()
		return nil, err
	}
	return s, nil
}

func (s *Stack) configure() error {
	if err := s.tune(); err != nil {
		return err
	}
	if err := s.stack.CreateNIC(nic, s.link); err != nil {
		return fmt.Errorf("make the stack's interface: %s", err)
	}
	// It answers in the place of every address that the guest may ask for.
	if err := s.stack.SetPromiscuousMode(nic, true); err != nil {
		return fmt.Errorf("open the stack's interface: %s", err)
	}
	if err := s.stack.SetSpoofing(nic, true); err != nil {
		return fmt.Errorf("open the stack's interface: %s", err)
	}
	for _, p := range s.config.Gateway {
		protocol := ipv4.ProtocolNumber
		if p.Addr().Is6() {
			protocol = ipv6.ProtocolNumber
		}
		own := tcpip.ProtocolAddress{Protocol: protocol, AddressWithPrefix: tcpip.AddressWithPrefix{
			Address: tcpip.AddrFromSlice(p.Addr().AsSlice()), PrefixLen: p.Bits(),
		}}
		if err := s.stack.AddProtocolAddress(nic, own, stack.AddressProperties{}); err != nil {
			return fmt.Errorf("give the stack the address %s: %s", p, err)
		}
	}
	s.stack.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nic}, {Destination: header.IPv6EmptySubnet, NIC: nic}})
	begins := tcp.NewForwarder(s.stack, wide, mostOpening, s.connects)
	s.stack.SetTransportProtocolHandler(tcp.ProtocolNumber, func(id stack.TransportEndpointID, p *stack.PacketBuffer) bool {
		s.beginnings.note(id, p)
		return begins.HandlePacket(id, p)
	})
	s.stack.SetTransportProtocolHandler(udp.ProtocolNumber, udp.NewForwarder(s.stack, s.datagram).HandlePacket)
	return nil
}

// Dropped counts what was dropped or refused until now.
func (s *Stack) Dropped() driver.NetworkDrops {
	return driver.NetworkDrops{
		Strange: s.drops.strange.Load(), Flows: s.drops.full.Load(), Unread: s.link.dropped.Load(),
		Opening: s.stack.Stats().TCP.ForwardMaxInFlightDrop.Value(),
		Untaken: s.datagrams.dropped.Load() + s.stack.Stats().UDP.ReceiveBufferErrors.Value(),
	}
}

// Close ends all that is under way, and returns when nothing of it runs any more.
func (s *Stack) Close() {
	s.flows.close()
	s.stack.Close() // which ends those that are being accepted
	s.flows.work.Wait()
	s.stack.Wait()
	s.link.Close()
}

func addrPort(a tcpip.Address, port uint16) netip.AddrPort {
	addr, _ := netip.AddrFromSlice(a.AsSlice())
	return netip.AddrPortFrom(addr, port)
}
