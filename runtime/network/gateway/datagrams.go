package gateway

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"microagent/runtime/network/denial"
	"microagent/runtime/network/dial"
	"microagent/runtime/network/stack"
)

// idleDatagrams is how long two ports may say nothing to each other before their flow ends.
const idleDatagrams = 60 * time.Second

// exchange judges the first datagram between two ports; what it gives carries all of them.
func (g *gateway) exchange(id stack.Flow) func(*stack.Conn) {
	f := g.begin(id)
	v := g.policy.Load().Flow(f.Flow)
	if !v.Allowed {
		g.end(f)
		g.denials.Add(denial.OfFlow(f.Flow, "", v))
		return nil
	}
	return func(in *stack.Conn) {
		defer g.end(f)
		out, err := g.dial(g.ctx, f.Flow, v)
		if err != nil {
			why, ok := absence(err)
			if !ok {
				why = stack.NoPort // as of what was denied at first sight
			}
			in.Unreachable(why)
			return
		}
		carryDatagrams(in, out)
	}
}

// tellAbsence tells the guest what the host's kernel says of where its datagrams lead.
func tellAbsence(in *stack.Conn, err error) {
	if why, ok := absence(err); ok {
		in.Unreachable(why)
	}
}

// carryDatagrams carries datagrams both ways until none has come for a while, or the flow is ended.
func carryDatagrams(in *stack.Conn, out dial.Conn) {
	var last atomic.Int64
	stir := func() { last.Store(time.Now().UnixNano()) }
	stir()
	ticker := time.NewTicker(idleDatagrams / 4)
	defer ticker.Stop()
	ends := out.LocalAddr().Network() == "unixpacket" // a socket of a peer's: an empty packet is its end
	over := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() { // ends with in
		defer close(over)
		for {
			in.Wait()
			b := take(in.Chunk)
			n, err := in.Receive(b)
			if err == nil {
				stir()
			}
			if err == nil && (n > 0 || !ends) {
				if _, failed := out.Write(b[:n]); failed != nil { // what can't be sent is lost, as anywhere
					tellAbsence(in, failed)
				}
			}
			give(b)
			if err != nil {
				return
			}
		}
	})
	work.Go(func() { // ends with out
		defer in.Abort()
		raw, err := out.SyscallConn()
		if err != nil {
			return
		}
		for {
			b, err := readReady(raw, in.Chunk)
			switch {
			case errors.Is(err, unix.ECONNREFUSED): // nobody is there, yet
				in.Unreachable(stack.NoPort)
				continue
			case err != nil, ends && len(b) == 0:
				return
			case len(b) > 0:
				stir()
				_, _ = in.Write(b)
				give(b)
			}
		}
	})
	for open := true; open; {
		select {
		case <-over:
			open = false
		case <-ticker.C:
			if time.Since(time.Unix(0, last.Load())) > idleDatagrams {
				open = false
			}
		}
	}
	_ = in.Close()
	_ = out.Close()
	work.Wait()
}
