package stack

import (
	"fmt"
	"net"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// maxDatagram is the largest that UDP has, in bytes.
const maxDatagram = 65507

// Listen answers at an address of the gateway, over UDP and TCP. What goes there begins no flow. Close ends both.
func (s *Stack) Listen(at netip.AddrPort) (net.PacketConn, net.Listener, error) {
	number := ipv4.ProtocolNumber
	if at.Addr().Is6() {
		number = ipv6.ProtocolNumber
	}
	full := tcpip.FullAddress{NIC: nic, Addr: tcpip.AddrFromSlice(at.Addr().AsSlice()), Port: at.Port()}
	queue := &waiter.Queue{}
	ep, failed := s.stack.NewEndpoint(udp.ProtocolNumber, number, queue)
	if failed == nil {
		failed = ep.Bind(full)
	}
	if failed != nil {
		return nil, nil, fmt.Errorf("answer at %s: %s", at, failed)
	}
	packets := questions{gonet.NewUDPConn(queue, ep), s.datagrams.wait(Flow{To: at, UDP: true}, ep, mostQuestions)}
	listener, err := gonet.ListenTCP(s.stack, full, number)
	if err != nil {
		packets.Close()
		return nil, nil, fmt.Errorf("answer at %s: %w", at, err)
	}
	return packets, listener, nil
}
