package proto

import (
	"context"
	"net"

	"microagent/runtime/guest/proto/wire"
)

// Network is what the interface of a guest has.
type Network struct {
	Addresses   []string // with the length of their prefix
	Gateways    []string // one a family
	MTU         uint32
	Nameservers []string
}

func (n *Network) wire() *wire.Network {
	if n == nil {
		return nil
	}
	return &wire.Network{Addresses: n.Addresses, Gateways: n.Gateways, Mtu: n.MTU, Nameservers: n.Nameservers}
}

// StreamConn opens a connection to the guest's stream port, for a process that opens a stream by itself.
func (s *Session) StreamConn(ctx context.Context) (net.Conn, error) { return s.dial(ctx, StreamPort) }

// OpenPackets has the agent at the other end of conn, a connection to StreamPort, carry the packets of the guest's
// interface over it: frames of package packets. It closes conn when that fails. CodeRefused in a guest without a network.
func OpenPackets(ctx context.Context, conn net.Conn) (*Stream, error) {
	st, err := open(ctx, func(context.Context, uint32) (net.Conn, error) { return conn, nil }, &wire.StreamHeader{Kind: KindPackets})
	return st, streamError("carry packets", err)
}
