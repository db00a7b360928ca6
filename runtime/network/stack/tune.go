package stack

import (
	"fmt"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// Budget is what all buffers may take together, in bytes: those of the flows that there may be, what a flow has in hand on
// its way, parts of packets that wait for the others, and what waits for the guest.
const Budget = 64 << 20

// Buffers of a flow, in bytes: of what comes from the guest, whose window is half of that and has to cover the way through
// two processes, and of what goes to it, which makes other flows wait behind it in the one queue to the guest. A few flows
// have wide ones, all others narrow ones, so that the sum has a bound.
const (
	wide        = 1 << 20
	wideOut     = 256 << 10
	wideFlows   = 4
	narrowIn    = 64 << 10 // what the first window may be, which can't be taken back
	narrowOut   = 19 << 10
	datagramsIn = 16 << 10 // and a datagram more
	// MostFlows bounds how many there are at a time, of TCP and UDP together.
	MostFlows = 512
)

// WideChunk is what a flow with wide buffers has in hand, in bytes each way. What doesn't fit in one packet of the guest's
// MTU would be a packet of its own, however small.
const WideChunk = 65280

// narrowChunk is WideChunk of the others.
const narrowChunk = 8 << 10

// What gVisor holds of itself, in bytes: parts of packets, of each family, and what a datagram takes besides its content.
const (
	parts        = 4 << 20
	datagramCost = 600
)

// narrowFlow is what all buffers of a flow with narrow ones take. One of datagrams has nothing in hand that waits.
const narrowFlow = narrowIn + narrowOut + 2*narrowChunk

// A compile that fails here says that the sum is above the budget, or a flow of datagrams above one of TCP.
const (
	_ = uint(Budget - wideFlows*(wide+wideOut+2*WideChunk) - (MostFlows-wideFlows)*narrowFlow - 2*parts - queueSize)
	_ = uint(narrowFlow - datagramsIn - maxDatagram - mostWaiting*datagramCost)
)

// How long what is left of a connection is kept that has ended on this side, or on both: nothing on the way between stack
// and guest comes late.
const (
	timeWait  = 2 * time.Second
	halfEnded = 60 * time.Second
)

func (s *Stack) tune() error {
	reuse := tcpip.TCPTimeWaitReuseOption(tcpip.TCPTimeWaitReuseGlobal)
	wait := tcpip.TCPTimeWaitTimeoutOption(timeWait)
	linger := tcpip.TCPLingerTimeoutOption(halfEnded)
	moderate := tcpip.TCPModerateReceiveBufferOption(false)
	sack := tcpip.TCPSACKEnabled(true)
	retries := tcpip.TCPSynRetriesOption(2)
	for _, o := range []tcpip.SettableTransportProtocolOption{
		&tcpip.TCPReceiveBufferSizeRangeOption{Min: 4 << 10, Default: wide, Max: wide},
		&tcpip.TCPSendBufferSizeRangeOption{Min: 4 << 10, Default: wideOut, Max: wideOut},
		&reuse, &wait, &linger, &moderate, &sack, &retries,
	} {
		if err := s.stack.SetTransportProtocolOption(tcp.ProtocolNumber, o); err != nil {
			return fmt.Errorf("set %T of the stack: %s", o, err)
		}
	}
	if err := s.stack.SetOption(tcpip.ReceiveBufferSizeOption{Min: 4 << 10, Default: datagramsIn, Max: datagramsIn}); err != nil {
		return fmt.Errorf("set the size of a stack's buffer: %s", err)
	}
	return nil
}
