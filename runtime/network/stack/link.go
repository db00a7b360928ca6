package stack

import (
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// queueSize bounds the packets that wait for the guest, in bytes: a few of the largest, since all flows wait behind them.
const queueSize = 1280 << 10

// link is the stack's interface: packets that the stack sends wait in it.
type link struct {
	mtu     atomic.Uint32
	dropped atomic.Uint64

	mu         sync.Mutex // what follows
	dispatcher stack.NetworkDispatcher
	address    tcpip.LinkAddress
	queue      []*stack.PacketBuffer
	size       int  // of queue, in bytes
	open       bool // somebody takes what is in queue
	waits      chan struct{}
}

func newLink(mtu uint32) *link {
	l := &link{waits: make(chan struct{}, 1)}
	l.mtu.Store(mtu)
	return l
}

// WritePackets queues what the stack sends. What has no room is dropped, as any interface does; TCP sends it again.
func (l *link) WritePackets(list stack.PacketBufferList) (int, tcpip.Error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	sent := 0
	for _, p := range list.AsSlice() {
		size := p.Size()
		if !l.open || l.size+size > queueSize {
			l.dropped.Add(1)
			if sent == 0 {
				return 0, &tcpip.ErrNoBufferSpace{}
			}
			break
		}
		l.queue = append(l.queue, p.Clone())
		l.size += size
		sent++
	}
	l.ring()
	return sent, nil
}

func (l *link) ring() {
	select {
	case l.waits <- struct{}{}:
	default:
	}
}

// take gives the packet that has waited longest into b; 0 when none waits.
func (l *link) take(b []byte) int {
	l.mu.Lock()
	if len(l.queue) == 0 {
		l.mu.Unlock()
		return 0
	}
	p := l.queue[0]
	l.queue[0] = nil
	if l.queue = l.queue[1:]; len(l.queue) == 0 {
		l.queue = nil
	}
	l.size -= p.Size()
	l.mu.Unlock()
	n := 0
	for _, part := range p.AsSlices() {
		n += copy(b[n:], part)
	}
	p.DecRef()
	return n
}

// setOpen says whether somebody takes what is queued; what nobody will is let go.
func (l *link) setOpen(open bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = open
	for _, p := range l.queue {
		p.DecRef()
	}
	l.queue, l.size = nil, 0
}

// deliver gives the stack a packet of the guest.
func (l *link) deliver(protocol tcpip.NetworkProtocolNumber, p *stack.PacketBuffer) {
	l.mu.Lock()
	d := l.dispatcher
	l.mu.Unlock()
	if d != nil {
		d.DeliverNetworkPacket(protocol, p)
	}
}

// What follows makes it a stack.LinkEndpoint: one without addresses or headers of its own.

func (l *link) MTU() uint32                           { return l.mtu.Load() }
func (l *link) SetMTU(mtu uint32)                     { l.mtu.Store(mtu) }
func (*link) MaxHeaderLength() uint16                 { return 0 }
func (*link) Wait()                                   {}
func (*link) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareNone }
func (*link) AddHeader(*stack.PacketBuffer)           {}
func (*link) ParseHeader(*stack.PacketBuffer) bool    { return true }
func (*link) SetOnCloseAction(func())                 {}
func (l *link) Close()                                { l.setOpen(false) }

// Capabilities are that the guest's packets come as they were sent: its kernel leaves their checksums out, and nobody looks.
func (*link) Capabilities() stack.LinkEndpointCapabilities { return stack.CapabilityRXChecksumOffload }

func (l *link) LinkAddress() tcpip.LinkAddress {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.address
}

func (l *link) SetLinkAddress(a tcpip.LinkAddress) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.address = a
}

func (l *link) Attach(d stack.NetworkDispatcher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dispatcher = d
}

func (l *link) IsAttached() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dispatcher != nil
}
