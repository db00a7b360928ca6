package stack

import (
	"context"
	"net/netip"
	"sync"
)

// Flow is a connection, or the datagrams between two ports, that the guest began.
type Flow struct {
	From, To netip.AddrPort
	UDP      bool
}

// flows are those that are there, from their first packet on.
type flows struct {
	work sync.WaitGroup

	mu    sync.Mutex // what follows
	ended bool
	all   map[*flow]bool
	wide  int
}

// flow is one that has a place.
type flow struct {
	Flow
	wide bool

	ctx context.Context // of all that is done for it
	end context.CancelFunc

	mu   sync.Mutex
	conn *Conn // once it is accepted
	over bool
}

func (f *flows) init() { f.all = map[*flow]bool{} }

// begin gives a flow a place; nil when all are taken, or the stack ends.
func (f *flows) begin(what Flow) *flow {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended || len(f.all) >= MostFlows {
		return nil
	}
	one := &flow{Flow: what, wide: !what.UDP && f.wide < wideFlows}
	one.ctx, one.end = context.WithCancel(context.Background())
	if one.wide {
		f.wide++
	}
	f.all[one] = true
	f.work.Add(1)
	return one
}

func (f *flows) end(one *flow) {
	one.end()
	f.mu.Lock()
	delete(f.all, one)
	if one.wide {
		f.wide--
	}
	f.mu.Unlock()
	f.work.Done()
}

// abort ends the flows that which is true for, as by a reset.
func (f *flows) abort(which func(Flow) bool) {
	f.mu.Lock()
	var list []*flow
	for one := range f.all {
		if which(one.Flow) {
			list = append(list, one)
		}
	}
	f.mu.Unlock()
	for _, one := range list {
		one.abort()
	}
}

// close is abort of all, also of those that would begin.
func (f *flows) close() {
	f.mu.Lock()
	f.ended = true
	f.mu.Unlock()
	f.abort(func(Flow) bool { return true })
}

func (one *flow) abort() {
	one.mu.Lock()
	defer one.mu.Unlock()
	if one.over {
		return
	}
	one.over = true
	one.end()
	if one.conn != nil {
		one.conn.Abort()
	}
}

// accepted is false for a flow that was ended meanwhile.
func (one *flow) accepted(c *Conn) bool {
	one.mu.Lock()
	defer one.mu.Unlock()
	one.conn = c
	return !one.over
}

// Abort ends the flows that which is true for, as by a reset.
func (s *Stack) Abort(which func(Flow) bool) { s.flows.abort(which) }

// Flows is how many there are.
func (s *Stack) Flows() int {
	s.flows.mu.Lock()
	defer s.flows.mu.Unlock()
	return len(s.flows.all)
}
