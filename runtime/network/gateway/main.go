package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"microagent/runtime/driver"
	"microagent/runtime/guest/proto"
	"microagent/runtime/network/stack"
	"microagent/schema/spec"
)

// pairFD is the descriptor of the socket pair in the gateway's process.
const pairFD = 3

// Bounds of the process: what it may take of memory for data, how much of that it lives with before it tidies up, and its
// open files.
const (
	mostData  = 768 << 20
	calmData  = 96 << 20
	mostFiles = 2*stack.MostFlows + 256
)

// Main is the gateway's process, up to the end of its supervisor. It gives the exit code.
func Main(o Outside, stderr io.Writer) int {
	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE, syscall.SIGINT)
	if err := run(o); err != nil {
		fmt.Fprintln(stderr, "gateway:", err)
		return 1
	}
	return 0
}

func run(o Outside) error {
	if err := limit(); err != nil {
		return err
	}
	file := os.NewFile(pairFD, "supervisor")
	conn, err := net.FileConn(file)
	if err != nil {
		return err
	}
	file.Close()
	p := &pair{conn: conn.(*net.UnixConn)}
	c := &child{pair: p, records: make(chan driver.Denial, 256), asked: map[int]chan answer{}}
	g, err := newGateway(o, c.record)
	if err != nil {
		return err
	}
	c.gateway, g.peers = g, c.askPeer
	c.work.Go(c.report)
	err = c.serve()
	g.close()
	c.work.Wait()
	return err
}

// limit takes from the process what it needs not.
func limit() error {
	debug.SetMemoryLimit(calmData)
	for _, l := range []struct {
		what  int
		value uint64
	}{{unix.RLIMIT_DATA, mostData}, {unix.RLIMIT_NOFILE, mostFiles}, {unix.RLIMIT_CORE, 0}, {unix.RLIMIT_FSIZE, 0}} {
		var now unix.Rlimit
		if err := unix.Getrlimit(l.what, &now); err != nil {
			return fmt.Errorf("read limit %d: %w", l.what, err)
		}
		value := min(l.value, now.Max)
		if err := unix.Setrlimit(l.what, &unix.Rlimit{Cur: value, Max: value}); err != nil {
			return fmt.Errorf("set limit %d: %w", l.what, err)
		}
	}
	return nil
}

// child is a gateway and its pair.
type child struct {
	*gateway
	pair    *pair
	records chan driver.Denial
	lost    atomic.Int64
	work    sync.WaitGroup

	guest *guest // that is there

	mu    sync.Mutex // what follows
	asked map[int]chan answer
	last  int
}

// guest is one whose packets are carried.
type guest struct {
	stream *proto.Stream
	left   atomic.Bool // by us
	done   chan struct{}
}

// serve does what the supervisor says until that is gone.
func (c *child) serve() error {
	defer c.endGuest()
	for {
		m, err := c.pair.next()
		if err != nil {
			return nil // its end is ours
		}
		switch m.kind {
		case kindNetwork:
			var n *spec.Network
			if err = json.Unmarshal(m.data, &n); err == nil {
				err = c.permit(n)
			}
		case kindGuest:
			err = c.takeGuest(m.file)
		case kindPeer:
			err = c.takePeer(m)
		}
		if err != nil {
			_ = c.pair.send(kindLog, err.Error(), nil)
		}
	}
}

// takeGuest carries the packets of another guest, or of the same after it has rebooted: its connections are new.
func (c *child) takeGuest(file *os.File) error {
	conn, err := connOf(file)
	if err != nil {
		return err
	}
	c.endGuest()
	ctx, cancel := context.WithTimeout(c.ctx, openPatience)
	defer cancel()
	st, err := proto.OpenPackets(ctx, conn)
	if err != nil {
		_ = c.pair.send(kindGone, nil, nil)
		return fmt.Errorf("open the guest's packets: %w", err)
	}
	one := &guest{stream: st, done: make(chan struct{})}
	c.guest = one
	go func() {
		defer close(one.done)
		err := c.stack.Carry(st)
		if one.left.Load() {
			return
		}
		if err != nil {
			_ = c.pair.send(kindLog, "packets of the guest: "+err.Error(), nil)
		}
		_ = c.pair.send(kindGone, nil, nil)
	}()
	return nil
}

const openPatience = 30 * time.Second

func (c *child) endGuest() {
	if c.guest == nil {
		return
	}
	c.guest.left.Store(true)
	_ = c.guest.stream.Close()
	<-c.guest.done
	c.stack.EndFlows()
	c.guest = nil
}

// record hands a denial on without waiting.
func (c *child) record(d driver.Denial) {
	select {
	case c.records <- d:
	default:
		c.lost.Add(1)
	}
}

// reportEvery is how often a gateway says how it is, when that has changed.
const reportEvery = 250 * time.Millisecond

// state is how the gateway is.
func (c *child) state() driver.NetworkState {
	s := c.denials.State()
	s.Flows, s.Dropped = c.stack.Flows(), c.stack.Dropped()
	return s
}

// report sends records, and with each how many there were, which counts what has no record as well.
func (c *child) report() {
	ticker := time.NewTicker(reportEvery)
	defer ticker.Stop()
	var told []byte
	for {
		select {
		case d := <-c.records:
			d.Unsaid += int(c.lost.Swap(0))
			if c.pair.send(kindDenial, d, nil) != nil {
				return
			}
		case <-ticker.C:
			c.noteFlood()
		case <-c.ctx.Done():
			return
		}
		now, err := json.Marshal(c.state())
		if err != nil || string(now) == string(told) {
			continue
		}
		if told = now; c.pair.send(kindState, json.RawMessage(now), nil) != nil {
			return
		}
	}
}
