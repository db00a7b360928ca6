package stack

import (
	"net/netip"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// emptyDatagram says of itself that it has no content.
func emptyDatagram(from, to netip.AddrPort) []byte {
	return ipPacket(from.Addr(), to.Addr(), header.UDPProtocolNumber, header.UDPMinimumSize, func(p []byte, sum uint16) {
		u := header.UDP(p)
		u.Encode(&header.UDPFields{SrcPort: from.Port(), DstPort: to.Port(), Length: header.UDPMinimumSize})
		u.SetChecksum(^u.CalculateChecksum(sum))
	})
}

// A datagram takes a place where it waits, however little is in it.
func TestDatagramsThatNobodyTakes(t *testing.T) {
	from, to := netip.AddrPortFrom(guest4, 20000), netip.MustParseAddrPort("203.0.113.9:1")
	for name, packet := range map[string][]byte{"empty": emptyDatagram(from, to), "of a byte": udpPacket(from, to)} {
		hold, taken := make(chan struct{}), make(chan int)
		_, s := newGuest(t, Config{UDP: func(Flow) func(*Conn) {
			return func(c *Conn) {
				<-hold
				n := 0
				for ; c.place.waiting() > 0; n++ {
					_, _ = c.Receive(make([]byte, 1))
				}
				taken <- n
				_, _ = c.Receive(make([]byte, 1)) // there is room again
				taken <- 1
			}
		}})
		for range 1000 {
			s.Deliver(packet)
		}
		close(hold)
		if n, dropped := <-taken, s.Dropped().Untaken; n != mostWaiting || dropped != uint64(1000-n) {
			t.Errorf("%s: %d waited, %d are counted as dropped", name, n, dropped)
		}
		s.Deliver(packet)
		<-taken
		await(t, "no flow is left", func() bool { return s.Flows() == 0 })
		if n := len(s.datagrams.places); n > 0 {
			t.Errorf("%s: %d places are left", name, n)
		}
	}
}

// So does a question for the gateway.
func TestQuestionsThatNobodyTakes(t *testing.T) {
	_, s := newGuest(t, Config{})
	at := netip.AddrPortFrom(gateway4.Addr(), 53)
	packets, listener, err := s.Listen(at)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	packet := emptyDatagram(netip.AddrPortFrom(guest4, 20000), at)
	for range 1000 {
		s.Deliver(packet)
	}
	place := packets.(questions).place
	if n, dropped := place.waiting(), s.Dropped().Untaken; n != mostQuestions || dropped != 1000-mostQuestions {
		t.Errorf("%d wait, %d are counted as dropped", n, dropped)
	}
	if _, _, err := packets.ReadFrom(make([]byte, 1)); err != nil || place.waiting() != mostQuestions-1 {
		t.Errorf("after one was read %d wait, %v", place.waiting(), err)
	}
	if err := packets.Close(); err != nil || len(s.datagrams.places) > 0 {
		t.Errorf("closed: %v, %d places are left", err, len(s.datagrams.places))
	}
}
