package agent

import (
	"bytes"
	"context"
	"time"

	"microagent/runtime/guest/proto"
	"microagent/runtime/guest/proto/wire"
	"microagent/runtime/listentable"
)

// Where the kernel has a tracepoint for it (tcpStates), a server of TCP is looked for when a socket begins to listen. Of UDP
// there is none, and sock_diag has an event for a socket's end alone: the tables are read again and again, while the host
// watches such ports and at no other time: soon after a process was started or has ended, or a dial failed, or when there are
// more or less sockets (counts); else after a tenth of the time for which nothing has changed. Reading them takes tens of
// microseconds.
const (
	lookFirst   = 5 * time.Millisecond
	lookMissing = 250 * time.Millisecond // the longest pause while a server is missing
	lookAll     = time.Second            // and while all are there
	lookShare   = 10
)

// tables is where the kernel's tables are.
const tables = "/proc/net"

// ports are those of a header, which has at most most of them.
func ports(h *wire.StreamHeader, most int) ([]proto.Port, error) {
	if n := len(h.GetPorts()); n == 0 || n > most {
		return nil, proto.Errorf(proto.CodeInvalid, "a %s stream of %d ports, not 1 to %d", h.GetKind(), n, most)
	}
	var list []proto.Port
	for _, p := range h.GetPorts() {
		if p.GetNumber() == 0 || p.GetNumber() > 65535 {
			return nil, proto.Errorf(proto.CodeInvalid, "there is no port %d", p.GetNumber())
		}
		list = append(list, proto.Port{Number: uint16(p.GetNumber()), UDP: p.GetUdp()})
	}
	return list, nil
}

// sendListening says which ports have a server, and again at each change, until the host closes the stream.
func (a *Agent) sendListening(ctx context.Context, h *wire.StreamHeader, st *proto.Stream) {
	wanted, err := ports(h, proto.MaxPorts)
	if err != nil {
		finish(st, err)
		return
	}
	gone, end := tellHost(st)
	defer end()
	signs, closeSigns := a.watchServers(wanted)
	defer closeSigns()
	var told []byte
	var looks pace
	for changed := time.Now(); ; {
		stirred := a.stirred.next()
		signs.look() // before the look, so that nothing is missed
		looks.begin()
		now, err := served(tables, wanted)
		if err != nil {
			_ = st.Fail(answer(err))
			return
		}
		if !bytes.Equal(now, told) {
			if _, err := st.Write(now); err != nil {
				return
			}
			told, changed = now, time.Now()
		}
		missing := bytes.IndexByte(now, 0) >= 0
		switch signs.await(ctx, stirred, gone, missing, time.Since(changed)) {
		case stirredNow:
			changed = time.Now()
		case hostGone:
			return
		}
		if !looks.await(ctx, gone, lookFirst) { // bells may ring without end
			return
		}
	}
}

// signs are what tells that a server may have come or gone.
type signs interface {
	// look is called before the tables are read.
	look()
	// await waits until there is a sign, or it is time to read them all the same: quiet is for how long nothing has changed.
	await(ctx context.Context, stirred, gone <-chan struct{}, missing bool, quiet time.Duration) stir
}

// watchServers gives the best signs that this kernel has of ports.
func (a *Agent) watchServers(ports []proto.Port) (s signs, end func()) {
	if !wants(ports, true) {
		states, err := hearTCPStates()
		if err == nil {
			return states, states.close
		}
		a.log.Printf("servers are looked for again and again: %v", err)
	}
	counts := countSockets(tables)
	return counts, counts.close
}

// untilNextLook is how long nothing is looked at after nothing has changed for a time, where sockets can't be counted.
func untilNextLook(quiet time.Duration, missing bool) time.Duration {
	most := lookAll
	if missing {
		most = lookMissing
	}
	return min(quiet/lookShare, most)
}

// pace keeps looks apart: what is told of after a while is looked at at once.
type pace struct{ last time.Time }

// begin is of a look.
func (p *pace) begin() { p.last = time.Now() }

// await returns when the next look may be, so long after the last; false when it was cut short.
func (p *pace) await(ctx context.Context, gone <-chan struct{}, apart time.Duration) bool {
	rest := apart - time.Since(p.last)
	return rest <= 0 || pause(ctx, gone, rest)
}

// pause is false when it was cut short.
func pause(ctx context.Context, gone <-chan struct{}, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-gone:
	case <-ctx.Done():
	}
	return false
}

// served has a 1 for each port that has a server on loopback.
func served(dir string, wanted []proto.Port) ([]byte, error) {
	open := map[proto.Port]bool{}
	for _, udp := range []bool{false, true} {
		if !wants(wanted, udp) {
			continue
		}
		sockets, err := listentable.Read(dir, udp)
		if err != nil {
			return nil, err
		}
		for _, s := range sockets {
			if s.OnLoopback() {
				open[proto.Port{Number: s.Port, UDP: udp}] = true
			}
		}
	}
	now := make([]byte, len(wanted))
	for i, p := range wanted {
		if open[p] {
			now[i] = 1
		}
	}
	return now, nil
}

func wants(list []proto.Port, udp bool) bool {
	for _, p := range list {
		if p.UDP == udp {
			return true
		}
	}
	return false
}
