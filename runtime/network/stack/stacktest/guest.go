// Package stacktest is a guest for tests of stacks and gateways: its kernel's TCP/IP, without a kernel. Only tests import it.
package stacktest

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"sync"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"

	"microagent/runtime/network/packets"
)

const (
	nic = 1
	mtu = 65520
)

// Guest is a guest with an interface. Close ends it.
type Guest struct {
	Stack *stack.Stack
	link  *channel.Endpoint
}

// New makes a guest with addresses. It panics where the stack takes none of them.
func New(addresses ...netip.Addr) *Guest {
	g := &Guest{
		link: channel.New(1024, mtu, ""),
		Stack: stack.New(stack.Options{
			NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
			TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
		}),
	}
	must(g.Stack.CreateNIC(nic, g.link))
	for _, a := range addresses {
		p := tcpip.ProtocolAddress{Protocol: ipv4.ProtocolNumber, AddressWithPrefix: tcpip.AddrFromSlice(a.AsSlice()).WithPrefix()}
		if a.Is6() {
			p.Protocol = ipv6.ProtocolNumber
		}
		must(g.Stack.AddProtocolAddress(nic, p, stack.AddressProperties{}))
	}
	g.Stack.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nic}, {Destination: header.IPv6EmptySubnet, NIC: nic}})
	return g
}

func must(err tcpip.Error) {
	if err != nil {
		panic(err.String())
	}
}

// HoldLittle makes connections that begin from now on hold few bytes.
func (g *Guest) HoldLittle() error {
	const few = 8 << 10
	moderate := tcpip.TCPModerateReceiveBufferOption(false)
	for _, o := range []tcpip.SettableTransportProtocolOption{
		&tcpip.TCPReceiveBufferSizeRangeOption{Min: few, Default: few, Max: few},
		&tcpip.TCPSendBufferSizeRangeOption{Min: few, Default: few, Max: few}, &moderate,
	} {
		if err := g.Stack.SetTransportProtocolOption(tcp.ProtocolNumber, o); err != nil {
			return errors.New(err.String())
		}
	}
	return nil
}

// Close ends all of its connections.
func (g *Guest) Close() {
	g.link.Close()
	g.Stack.Destroy()
}

// Carry exchanges packets over a stream until that ends, and closes it. What the guest sends before is lost.
func (g *Guest) Carry(rw io.ReadWriteCloser) {
	ctx, cancel := context.WithCancel(context.Background())
	var sending sync.WaitGroup
	sending.Go(func() {
		var batch packets.Batch
		for {
			p := g.link.ReadContext(ctx)
			if p == nil {
				return
			}
			waits := []*stack.PacketBuffer{p}
			_ = batch.Fill(func(b []byte) (n int, _ error) {
				if len(waits) == 0 {
					return 0, nil
				}
				for _, part := range waits[0].AsSlices() {
					n += copy(b[n:], part)
				}
				waits[0].DecRef()
				waits = nil
				return n, nil
			})
			if batch.Send(rw) != nil {
				return
			}
		}
	})
	in := packets.NewReader(rw)
	for {
		p, err := in.Next()
		if err != nil || len(p) == 0 {
			break
		}
		number := header.IPv4ProtocolNumber
		if header.IPVersion(p) == header.IPv6Version {
			number = header.IPv6ProtocolNumber
		}
		b := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(p)})
		g.link.InjectInbound(number, b)
		b.DecRef()
	}
	cancel()
	_ = rw.Close()
	sending.Wait()
}

func full(to netip.AddrPort) (tcpip.FullAddress, tcpip.NetworkProtocolNumber) {
	number := ipv4.ProtocolNumber
	if to.Addr().Is6() {
		number = ipv6.ProtocolNumber
	}
	return tcpip.FullAddress{NIC: nic, Addr: tcpip.AddrFromSlice(to.Addr().AsSlice()), Port: to.Port()}, number
}

// Dial connects over TCP.
func (g *Guest) Dial(ctx context.Context, to netip.AddrPort) (*gonet.TCPConn, error) {
	a, number := full(to)
	return gonet.DialContextTCP(ctx, g.Stack, a, number)
}

// DialUDP takes a port for datagrams to one other.
func (g *Guest) DialUDP(to netip.AddrPort) (*gonet.UDPConn, error) {
	a, number := full(to)
	return gonet.DialUDP(g.Stack, nil, &a, number)
}

// DialReset connects over TCP; the function that it gives resets that connection.
func (g *Guest) DialReset(to netip.AddrPort) (reset func(), err error) {
	a, number := full(to)
	queue := &waiter.Queue{}
	entry, connected := waiter.NewChannelEntry(waiter.WritableEvents | waiter.EventErr)
	queue.EventRegister(&entry)
	ep, made := g.Stack.NewEndpoint(tcp.ProtocolNumber, number, queue)
	must(made)
	_ = ep.Connect(a)
	<-connected
	return func() {
		ep.SocketOptions().SetLinger(tcpip.LingerOption{Enabled: true})
		ep.Close()
	}, nil
}

// Unreachable is how often it was told that nothing is at a port of UDP.
func (g *Guest) Unreachable() uint64 {
	icmp := g.Stack.Stats().ICMP
	return icmp.V4.PacketsReceived.DstUnreachable.Value() + icmp.V6.PacketsReceived.DstUnreachable.Value()
}
