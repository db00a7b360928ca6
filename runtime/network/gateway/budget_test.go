package gateway

import (
	"net"
	"net/netip"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"microagent/runtime/network/stack"
)

// littleRoom is an address of which the host's kernel holds few bytes on their way.
var littleRoom = netip.MustParseAddr("203.0.113.10")

func holdLittle(c *net.TCPConn) {
	_ = c.SetReadBuffer(4 << 10)
	_ = c.SetWriteBuffer(4 << 10)
}

// All flows that there may be are full both ways, since nobody reads what goes out nor what comes in.
func TestFullFlowsStayInTheBudget(t *testing.T) {
	var sent atomic.Int64
	fill := func(c net.Conn) {
		b := make([]byte, 4<<10)
		for {
			n, err := c.Write(b)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	}
	w := &world{servers: map[netip.AddrPort]net.Listener{}}
	w.at(t, "203.0.113.10:1", func(c *net.TCPConn) { holdLittle(c); fill(c) })
	var port uint16
	for _, l := range w.servers {
		port = uint16(l.Addr().(*net.TCPAddr).Port)
	}
	r := startProcess(t, byAddress(port))
	if err := r.HoldLittle(); err != nil {
		t.Fatal(err)
	}
	before := privateKiB(t, r.PID())
	var work sync.WaitGroup
	const flows = stack.MostFlows / raceCost
	for range flows {
		c, err := r.Dial(t.Context(), netip.AddrPortFrom(littleRoom, port))
		if err != nil {
			t.Fatal(err)
		}
		work.Go(func() { fill(c) })
		defer c.Close()
	}
	for last := int64(-1); last != sent.Load(); { // until nothing moves any more
		last = sent.Load()
		for range 25 {
			time.Sleep(20 * time.Millisecond)
		}
	}
	after := leastKiB(t, r.PID())
	t.Logf("%d full flows: %d KiB more than %d KiB; %d KiB were sent", flows, after-before, before, sent.Load()>>10)
	if sent.Load() < flows*64<<10 {
		t.Error("they are not full")
	}
	if most := stack.Budget>>10 + mostIdle; after-before > most {
		t.Errorf("that is above %d KiB, of which %d are for the buffers", most, stack.Budget>>10)
	}
}

// leastKiB is privateKiB of a process of this test that has given back what it does not use.
func leastKiB(t *testing.T, pid int) int {
	t.Helper()
	if err := unix.Kill(pid, unix.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	least := privateKiB(t, pid)
	for same := 0; same < 25; same++ {
		time.Sleep(20 * time.Millisecond)
		if now := privateKiB(t, pid); now < least {
			least, same = now, 0
		}
	}
	return least
}

// tidyUp makes this process give back what it does not use whenever it gets SIGUSR1.
func tidyUp() {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, unix.SIGUSR1)
	go func() {
		for range asked {
			debug.FreeOSMemory()
		}
	}()
}
