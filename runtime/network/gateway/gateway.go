// Package gateway is the process through which a workspace reaches what is outside: a child of the supervisor, which ends
// the guest's connections in package stack, asks the policy, and dials from the host.
//
// It promises that nothing of the guest leads anywhere but to what the policy allows at that moment: a flow is judged at its
// first packet, by the name in its handshake before anything of it goes out, at the moment of the dial, and again when the
// policy changes. Each denial is a record, within bounds. The process has no lease, no file of the state directory and no
// capability; its memory and open files are bounded. When it dies, connections end and the supervisor starts another. It
// never resolves a name that the policy denies, nor looks into a connection beyond its first handshake.
//
// Start is the supervisor's side, Main the process's.
package gateway

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/frame"
	"microagent/runtime/network/denial"
	"microagent/runtime/network/dial"
	"microagent/runtime/network/dns"
	"microagent/runtime/network/policy"
	"microagent/runtime/network/stack"
	"microagent/schema/spec"
)

// MTU is that of the guest's interface, in bytes: a packet costs the same whatever its size is. With the prefixes of the
// packet's and the stream's frame and of serialmux, the largest has to fit in what a serial port takes by two writes.
const MTU = 65504

// Compiles that fail here say that the largest packet does not fit, or a chunk with the headers of IPv6 and TCP.
const (
	_ = uint(64<<10 - MTU - 2*frame.PrefixSize - 12)
	_ = uint(MTU - stack.WideChunk - 40 - 20 - 40)
)

// Link is what a guest's interface has. It is the same in every workspace.
type Link struct {
	Addresses   []netip.Prefix
	Gateways    []netip.Addr
	Nameservers []netip.Addr
}

// GuestLink is the link of every guest.
var GuestLink = Link{
	Addresses:   []netip.Prefix{netip.PrefixFrom(policy.Guest4, 30), netip.PrefixFrom(policy.Guest6, 64)},
	Gateways:    []netip.Addr{policy.Gateway4, policy.Gateway6},
	Nameservers: []netip.Addr{policy.Gateway4},
}

// Outside is what is outside. Its zero is the host's network.
type Outside struct {
	Resolver dns.Resolver
	Dialer   dial.Dialer
}

func (o Outside) resolver() dns.Resolver {
	if o.Resolver != nil {
		return o.Resolver
	}
	return dns.Host{}
}

// gateway is one that runs.
type gateway struct {
	outside Outside
	peers   func(ctx context.Context, peer string, port uint16, protocol spec.Protocol) (dial.Conn, error)
	stack   *stack.Stack
	names   *dns.Server
	pins    *dns.Pins
	denials *denial.Log
	ctx     context.Context // of all that it does
	cancel  context.CancelFunc
	work    sync.WaitGroup

	policy atomic.Pointer[policy.Policy]

	helloPatience time.Duration
	flooded       uint64 // connections that noteFlood has recorded

	mu   sync.Mutex // what follows
	open map[stack.Flow]*flow
}

// newGateway gives each record of a denial to denied, which must not wait.
func newGateway(o Outside, denied func(driver.Denial)) (*gateway, error) {
	g := &gateway{outside: o, pins: dns.NewPins(time.Now), open: map[stack.Flow]*flow{}, denials: denial.NewLog(denied, time.Now), helloPatience: helloPatience}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	g.policy.Store(policy.None)
	g.names = dns.New(policy.None, o.resolver(), g.pins, g.denials.Add)
	var err error
	g.stack, err = stack.New(stack.Config{
		MTU: MTU, Guest: []netip.Addr{policy.Guest4, policy.Guest6},
		Gateway: []netip.Prefix{netip.PrefixFrom(policy.Gateway4, 30), netip.PrefixFrom(policy.Gateway6, 64)},
		TCP:     g.connect, UDP: g.exchange, Full: g.full,
	})
	if err != nil {
		return nil, err
	}
	for _, a := range []netip.Addr{policy.Gateway4, policy.Gateway6} {
		if err := g.serveNames(netip.AddrPortFrom(a, 53)); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// close ends all that runs.
func (g *gateway) close() {
	g.cancel()
	g.stack.Close()
	g.work.Wait()
	g.names.Close()
}

// permit makes n what the guest may reach. A flow that it denies ends.
func (g *gateway) permit(n *spec.Network) error {
	p, err := policy.New(n)
	if err != nil {
		return err
	}
	g.policy.Store(p)
	g.names.Permit(p)
	g.mu.Lock()
	var list []*flow
	for _, f := range g.open {
		list = append(list, f)
	}
	g.mu.Unlock()
	ends := map[stack.Flow]bool{}
	for _, f := range list {
		if v, server := f.judge(p); !v.Allowed {
			g.denials.Add(denial.OfFlow(f.Flow, server, v))
			ends[f.id] = true
		}
	}
	g.stack.Abort(func(f stack.Flow) bool { return ends[f] })
	return nil
}

// noteFlood records how many connections were not begun since the last call, since too many were under way: the guest's
// kernel tries those again. One goroutine at a time calls it.
func (g *gateway) noteFlood() {
	n := g.stack.Dropped().Opening
	if n == g.flooded {
		return
	}
	g.denials.Add(driver.Denial{Stage: string(policy.StageTCP), Protocol: string(spec.TCP), Rule: "limit:opening",
		Reason: "too many connections are being opened at once", Count: int(n - g.flooded)})
	g.flooded = n
}

// full records a flow that has no place.
func (g *gateway) full(to netip.AddrPort, udp bool) {
	f := policy.Flow{Protocol: spec.TCP, To: to}
	v := policy.Verdict{Stage: policy.StageTCP, Rule: "limit:flows", Reason: "too many connections are open"}
	if udp {
		f.Protocol, v.Stage = spec.UDP, policy.StageUDP
	}
	g.denials.Add(denial.OfFlow(f, "", v))
}
