package stack

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// echo accepts all and sends back what comes, until its end.
func echo(r *Request) {
	c, err := r.Accept()
	if err != nil {
		return
	}
	_, _ = io.Copy(c, c)
	_ = c.CloseWrite()
}

var families = []string{"203.0.113.9:80", "[2001:db8::9]:80"}

func TestBytesAndBothEnds(t *testing.T) {
	g, s := newGuest(t, Config{TCP: echo})
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB
	for _, to := range families {
		c, err := g.dial(t.Context(), to)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			_, _ = c.Write(data)
			_ = c.CloseWrite()
		}()
		got, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %d bytes of %d, %v", to, len(got), len(data), err)
		}
		c.Close()
	}
	await(t, "no flow is left", func() bool { return s.Flows() == 0 })
}

func TestDecidedBeforeAccepted(t *testing.T) {
	var asked atomic.Pointer[Flow]
	g, _ := newGuest(t, Config{TCP: func(r *Request) { asked.Store(&r.Flow) }})
	for _, to := range families {
		_, err := g.dial(t.Context(), to)
		if err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("%s: %v", to, err)
		}
		if f := asked.Load(); f == nil || f.To.String() != to {
			t.Errorf("%s: asked for %v", to, f)
		}
	}
}

// A guest is told of a place to which there is no way as by a router.
func TestUnreachable(t *testing.T) {
	for why, want := range map[Absence]string{NoNetwork: "network is unreachable", NoHost: "no route to host"} {
		g, s := newGuest(t, Config{TCP: func(r *Request) { r.Unreachable(why) }})
		for i, to := range families {
			if why == NoHost && i == 1 {
				continue // a guest of gVisor knows no such message, as Linux does
			}
			_, err := g.dial(t.Context(), to)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, not %s", to, err, want)
			}
		}
		await(t, "no flow is left", func() bool { return s.Flows() == 0 })
	}
}

func TestAbortIsAReset(t *testing.T) {
	accepted := make(chan bool)
	g, s := newGuest(t, Config{TCP: func(r *Request) {
		if c, err := r.Accept(); err == nil {
			accepted <- true
			_, err := c.Receive(make([]byte, 1))
			accepted <- err != nil && err != io.EOF
		}
	}})
	c, err := g.dial(t.Context(), families[0])
	if err != nil {
		t.Fatal(err)
	}
	<-accepted
	s.Abort(func(f Flow) bool { return f.To.Port() == 81 })
	s.Abort(func(f Flow) bool { return f.To.Port() == 80 })
	if !<-accepted {
		t.Error("the receiver was told of an end")
	}
	if _, err := c.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "reset") {
		t.Errorf("the guest sees %v", err)
	}
}

func TestResetOfTheGuest(t *testing.T) {
	got := make(chan error)
	g, _ := newGuest(t, Config{TCP: func(r *Request) {
		c, err := r.Accept()
		if got <- err; err == nil {
			_, err = c.Receive(make([]byte, 1))
			got <- err
		}
	}})
	reset, err := g.DialReset(netip.MustParseAddrPort(families[0]))
	if err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	reset()
	if err := <-got; !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
}

func TestDatagrams(t *testing.T) {
	g, s := newGuest(t, Config{UDP: func(f Flow) func(*Conn) {
		if f.To.Port() != 123 {
			return nil
		}
		return func(c *Conn) {
			b := make([]byte, 65507)
			for range 2 {
				n, err := c.Receive(b)
				if err != nil {
					return
				}
				_, _ = c.Write(b[:n])
			}
		}
	}})
	for i, host := range []string{"203.0.113.9", "[2001:db8::9]"} {
		c, err := g.dialUDP(host + ":123")
		if err != nil {
			t.Fatal(err)
		}
		for _, size := range []int{1, 60000} {
			if _, err := c.Write(bytes.Repeat([]byte("x"), size)); err != nil {
				t.Fatal(err)
			}
			if n, err := c.Read(make([]byte, 65507)); n != size || err != nil {
				t.Errorf("%s: %d bytes of %d, %v", host, n, size, err)
			}
		}
		c.Close()
		c, err = g.dialUDP(host + ":124")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write([]byte("x"))
		await(t, "a port that is denied is unreachable", func() bool { return g.Unreachable() == uint64(1+i) })
		c.Close()
	}
	await(t, "no flow is left", func() bool { return s.Flows() == 0 })
}

// A guest may begin as many flows as it likes.
func TestFlowsAreBounded(t *testing.T) {
	var full atomic.Int32
	hold := make(chan struct{})
	g, s := newGuest(t, Config{
		Full: func(netip.AddrPort, bool) { full.Add(1) },
		UDP:  func(Flow) func(*Conn) { return func(c *Conn) { <-hold } },
	})
	defer close(hold)
	c, err := g.dialUDP("203.0.113.9:1")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const tried = 10000
	for port := range tried {
		s.Deliver(udpPacket(netip.AddrPortFrom(guest4, uint16(20000+port)), netip.MustParseAddrPort("203.0.113.9:1")))
	}
	if n := s.Flows(); n != MostFlows {
		t.Errorf("%d flows", n)
	}
	if n := full.Load(); int(n) != tried-MostFlows || s.Dropped().Flows != uint64(n) {
		t.Errorf("%d were refused, the counter has %d", n, s.Dropped().Flows)
	}
}

// Connections that nobody ends the beginning of take no more than their bound, and their places come back.
func TestFloodOfBeginnings(t *testing.T) {
	release := make(chan struct{})
	var held sync.WaitGroup
	_, s := newGuest(t, Config{TCP: func(r *Request) {
		held.Add(1)
		defer held.Done()
		<-release
	}})
	const tried = 10000
	for port := range tried {
		s.Deliver(synPacket(netip.AddrPortFrom(guest4, uint16(20000+port)), netip.MustParseAddrPort("203.0.113.9:80")))
	}
	await(t, "the flood is counted", func() bool { return s.Dropped().Opening == tried-mostOpening })
	if n := s.Flows(); n > mostOpening {
		t.Errorf("%d flows", n)
	}
	close(release)
	await(t, "no flow is left", func() bool { return s.Flows() == 0 })
}

// A guest's kernel leaves the checksums of what it sends out.
func TestChecksumsThatAreLeftOut(t *testing.T) {
	var came atomic.Int32
	_, s := newGuest(t, Config{
		TCP: func(*Request) { came.Add(1) },
		UDP: func(Flow) func(*Conn) { came.Add(1); return nil },
	})
	const sizeIPv4 = 20
	from, to := netip.AddrPortFrom(guest4, 20000), netip.MustParseAddrPort("203.0.113.9:80")
	for at, p := range map[int][]byte{16: synPacket(from, to), 6: udpPacket(from, to)} {
		p[sizeIPv4+at]++
		s.Deliver(p)
	}
	await(t, "both are asked for", func() bool { return came.Load() == 2 })
}

// A guest that takes no packets makes no queue grow, and no other flow end.
func TestGuestThatNeverReads(t *testing.T) {
	_, s := newGuest(t, Config{})
	s.link.setOpen(true)
	defer s.link.setOpen(false)
	for range 1000 {
		s.Deliver(synPacket(netip.AddrPortFrom(guest4, 20000), netip.MustParseAddrPort("203.0.113.9:80")))
	}
	s.link.mu.Lock()
	defer s.link.mu.Unlock()
	if s.link.size > queueSize {
		t.Errorf("%d bytes wait", s.link.size)
	}
}

func TestStrangePackets(t *testing.T) {
	var asked []string
	_, s := newGuest(t, Config{
		UDP: func(f Flow) func(*Conn) { asked = append(asked, f.To.String()); return nil },
	})
	from := netip.AddrPortFrom(guest4, 1000)
	sent := 0
	for _, to := range []string{"0.0.0.0:1", "255.255.255.255:1", "224.0.1.1:1", "127.0.0.1:1"} {
		s.Deliver(udpPacket(from, netip.MustParseAddrPort(to)))
		sent++
	}
	s.Deliver(udpPacket(from, netip.MustParseAddrPort("224.0.0.22:1"))) // as any kernel does
	s.Deliver(udpPacket(netip.MustParseAddrPort("10.0.0.1:1"), netip.MustParseAddrPort("203.0.113.9:1")))
	whole := udpPacket(from, netip.MustParseAddrPort("203.0.113.9:1"))
	for n := range len(whole) - 8 { // cut within the header of IP
		if n < 20 {
			s.Deliver(whole[:n])
			sent++
		}
	}
	sent++
	if len(asked) > 0 || s.Dropped().Strange != uint64(sent) {
		t.Errorf("of %d packets %d were strange, and %q was asked for", sent, s.Dropped().Strange, asked)
	}
	s.Deliver(whole)
	if len(asked) != 1 {
		t.Errorf("the whole packet: %q", asked)
	}
}

func await(t testing.TB, what string, so func() bool) {
	t.Helper()
	for late := time.Now().Add(20 * time.Second); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(late) {
			t.Fatal(fmt.Errorf("in vain: %s", what))
		}
	}
}
