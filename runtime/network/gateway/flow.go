package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"microagent/runtime/network/denial"
	"microagent/runtime/network/dial"
	"microagent/runtime/network/hello"
	"microagent/runtime/network/policy"
	"microagent/runtime/network/stack"
	"microagent/schema/spec"
)

// flow is one that is open, with what it is judged by.
type flow struct {
	policy.Flow
	id stack.Flow

	mu     sync.Mutex
	judged bool          // for the first time
	checks bool          // by its first verdict: its name is read before anything of it goes out
	hello  *policy.Hello // once it was read
}

// begins is the first verdict on it.
func (f *flow) begins(p *atomic.Pointer[policy.Policy]) policy.Verdict {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := p.Load().Flow(f.Flow)
	f.judged, f.checks = true, v.CheckName
	return v
}

// judge judges it as it is now.
func (f *flow) judge(p *policy.Policy) (v policy.Verdict, server string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v = p.Flow(f.Flow)
	switch {
	case !v.Allowed || !v.CheckName:
	case f.hello != nil:
		return p.Name(f.Flow, *f.hello), f.hello.Name
	case f.judged && !f.checks:
		v.Stage, v.Allowed = policy.StageName, false
		v.Rule, v.Reason = policy.RuleDefault, "it was begun when the name of its server did not matter, and now it does"
	}
	return v, ""
}

// begin registers a flow before it is judged, so that a policy that comes meanwhile judges it as well.
func (g *gateway) begin(id stack.Flow) *flow {
	names, aliases := g.pins.Names(id.To.Addr())
	f := &flow{id: id, Flow: policy.Flow{Protocol: spec.TCP, To: id.To, Names: names, Aliases: aliases}}
	if id.UDP {
		f.Protocol = spec.UDP
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open[id] = f
	return f
}

func (g *gateway) end(f *flow) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open[f.id] == f {
		delete(g.open, f.id)
	}
}

// connect is a connection that the guest begins, up to its end. It is dialled before it is accepted, so that the guest
// sees what whoever it is for has to say.
func (g *gateway) connect(r *stack.Request) {
	f := g.begin(r.Flow)
	defer g.end(f)
	v := f.begins(&g.policy)
	if !v.Allowed {
		g.denials.Add(denial.OfFlow(f.Flow, "", v))
		return
	}
	out, err := g.dial(r.Context(), f.Flow, v)
	if err != nil {
		if why, ok := absence(err); ok && why != stack.NoPort { // which a reset says
			r.Unreachable(why)
		}
		return
	}
	defer out.Close()
	in, err := r.Accept()
	if err != nil { // the guest has reset it by now
		resetAtClose(out)
		return
	}
	if v.CheckName && !g.checkName(f, in, out) {
		resetAtClose(out)
		in.Abort()
		return
	}
	carry(in, out)
}

// absence is what an error of the host's kernel says that there is not.
func absence(err error) (stack.Absence, bool) {
	switch {
	case errors.Is(err, unix.ENETUNREACH):
		return stack.NoNetwork, true
	case errors.Is(err, unix.EHOSTUNREACH):
		return stack.NoHost, true
	case errors.Is(err, unix.ECONNREFUSED):
		return stack.NoPort, true
	}
	return 0, false
}

// dial connects to where an allowed flow leads.
func (g *gateway) dial(ctx context.Context, f policy.Flow, v policy.Verdict) (dial.Conn, error) {
	switch v.Route {
	case policy.RouteHost:
		return g.outside.Dialer.DialLoopback(ctx, f.Protocol, f.To.Port())
	case policy.RoutePeer:
		if g.peers == nil {
			return nil, errors.ErrUnsupported
		}
		return g.peers(ctx, v.Peer, f.To.Port(), f.Protocol)
	case policy.RouteOut:
		return g.outside.Dialer.Dial(ctx, f.Protocol, f.To, func(to netip.AddrPort, own bool) error {
			if v := g.policy.Load().Dial(to, own); !v.Allowed {
				g.denials.Add(denial.OfFlow(f, "", v))
				return errors.New(v.Reason)
			}
			return nil
		})
	}
	return nil, errors.ErrUnsupported
}

// helloPatience bounds how long a connection that has to be TLS may take to say so.
const helloPatience = 10 * time.Second

// checkName reads what the guest sends first, and passes it on when it is a handshake for a name that may be reached.
func (g *gateway) checkName(f *flow, in *stack.Conn, out dial.Conn) bool {
	late := time.AfterFunc(g.helloPatience, func() {
		g.denials.Add(denial.OfFlow(f.Flow, "", policy.Verdict{Stage: policy.StageName, Rule: policy.RuleDefault,
			Reason: fmt.Sprintf("port %d is allowed for TLS, and no handshake came within %s", f.To.Port(), g.helloPatience)}))
		in.Abort()
	})
	var read []byte
	var h policy.Hello
	for more := true; more; {
		chunk := make([]byte, hello.Most-len(read))
		n, err := in.Receive(chunk)
		if err != nil {
			late.Stop()
			return false
		}
		read = append(read, chunk[:n]...)
		h, more = hello.Read(read)
	}
	if !late.Stop() {
		return false
	}
	f.mu.Lock()
	f.hello = &h
	f.mu.Unlock()
	if v, server := f.judge(g.policy.Load()); !v.Allowed {
		g.denials.Add(denial.OfFlow(f.Flow, server, v))
		return false
	}
	_, err := out.Write(read)
	return err == nil
}
