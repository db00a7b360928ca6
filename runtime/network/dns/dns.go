// Package dns answers a guest's questions for names, of what its policy allows alone.
//
// It promises that a name that is denied is asked of nobody: a question is a message to whoever owns the name. What a
// resolver says is not believed when it leads into the host or its networks, and only what the guest was told is pinned,
// so that a flow is judged by the names for which its address was given. All of it is bounded: questions under way, what
// is remembered, addresses of an answer, and time.
//
// A denied name does not exist (NXDOMAIN), with the reason as an extended error (RFC 8914, code 15, blocked): a resolver
// of musl takes no REFUSED for an answer and waits 5 s (1.2.3), and one of glibc says that the failure is temporary (2.36),
// so that apt and pip try for minutes what can't succeed. What is no question for a name here (a zone transfer, another
// class) is REFUSED, and a resolver that fails is SERVFAIL, as it would be on the host.
//
// Types other than A, AAAA and PTR have no records here. HTTPS and SVCB above all: they would tell a client of keys with
// which it encrypts the name in its handshake, and of QUIC. SRV of an allowed name has none too, so that apt asks for the
// address itself.
package dns

import (
	"context"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"microagent/runtime/driver"
	"microagent/runtime/network/denial"
	"microagent/runtime/network/policy"
	"microagent/schema/dnsname"
)

const (
	// MostUnderWay is how many questions may wait for the resolver.
	MostUnderWay = 128
	// Longest is how many bytes of a question are read.
	Longest = 4096
	// mostAddresses is how many of each family an answer has.
	mostAddresses = 32
	// timeToLive is what the guest may remember an answer for. The host's resolver does not say what its own is.
	timeToLive = 30 * time.Second
)

// Server answers. It may be used by many at once.
type Server struct {
	policy  atomic.Pointer[policy.Policy]
	pins    *Pins
	lookups *lookups
	denied  func(driver.Denial)
	waiting chan struct{} // as many as are under way
}

// New answers under a policy, by a resolver. What it tells the guest is pinned in pins, and what it denies given to denied.
func New(p *policy.Policy, r Resolver, pins *Pins, denied func(driver.Denial)) *Server {
	s := &Server{pins: pins, lookups: newLookups(r), denied: denied, waiting: make(chan struct{}, MostUnderWay)}
	s.policy.Store(p)
	return s
}

// Permit answers under another policy from now on. What is pinned stays, and flows are judged anew.
func (s *Server) Permit(p *policy.Policy) { s.policy.Store(p) }

// Close ends lookups that are under way and waits for them. Nobody may ask meanwhile or afterwards.
func (s *Server) Close() { s.lookups.close() }

// Answer gives the response to a message, nil where there is none to give: to what is no question. Of one that came over
// UDP it is no longer than the guest takes, and says when it was cut.
func (s *Server) Answer(ctx context.Context, message []byte, udp bool) []byte {
	q, ok := parse(message, udp)
	if !ok {
		return nil
	}
	if q.code != dnsmessage.RCodeSuccess {
		return q.respond(reply{code: q.code})
	}
	select {
	case s.waiting <- struct{}{}:
		defer func() { <-s.waiting }()
	default:
		s.denied(denial.OfQuestion(q.name, policy.Verdict{Stage: policy.StageQuestion, Rule: "limit:dns", Reason: "too many questions wait for an answer"}))
		return q.respond(reply{code: dnsmessage.RCodeServerFailure})
	}
	return q.respond(s.reply(ctx, q))
}

// reply is what a question is answered by.
func (s *Server) reply(ctx context.Context, q question) reply {
	if q.kind == dnsmessage.TypePTR {
		if a, ok := reversed(q.name); ok {
			return s.nameOf(a)
		}
	}
	p := s.policy.Load()
	if v := p.Question(q.name); !v.Allowed {
		s.denied(denial.OfQuestion(q.name, v))
		return reply{code: dnsmessage.RCodeNameError, blocked: v.Reason}
	}
	if q.kind != dnsmessage.TypeA && q.kind != dnsmessage.TypeAAAA {
		return reply{}
	}
	name, err := dnsname.Wire(q.name)
	if err != nil || strings.HasPrefix(name, "_") { // a service's, which has no address
		return reply{}
	}
	if a, ok := p.Synthetic(name); ok {
		s.pins.Add(a, name)
		return reply{addresses: ofFamily([]netip.Addr{a}, q.kind)}
	}
	return s.resolve(ctx, p, name, q.kind)
}

// resolve asks the host's resolver, and keeps what may be dialled. A name is denied that leads through one that is.
func (s *Server) resolve(ctx context.Context, p *policy.Policy, name string, kind dnsmessage.Type) reply {
	all, err := s.lookups.find(ctx, name)
	switch {
	case isNotFound(err):
		return reply{code: dnsmessage.RCodeNameError}
	case err != nil:
		return reply{code: dnsmessage.RCodeServerFailure, failed: "the host's resolver gives no answer"}
	}
	for _, alias := range all.through {
		if v := p.Alias(name, alias); !v.Allowed {
			s.denied(denial.OfQuestion(name, v))
			return reply{code: dnsmessage.RCodeNameError, blocked: v.Reason}
		}
	}
	var good []netip.Addr
	why := ""
	for _, a := range ofFamily(all.addresses, kind) {
		if v := p.Answer(name, a); !v.Allowed {
			d := denial.OfQuestion(name, v)
			d.Address, why = a.String(), v.Reason
			s.denied(d)
			continue
		}
		if len(good) < mostAddresses {
			good = append(good, a)
		}
	}
	for _, a := range good {
		s.pins.Add(a, name, all.through...)
	}
	if len(good) > 0 {
		why = ""
	}
	return reply{addresses: good, blocked: why}
}

// nameOf answers for which name an address was given. One that was given for none has none.
func (s *Server) nameOf(a netip.Addr) reply {
	if names, _ := s.pins.find(a, false); len(names) > 0 {
		return reply{pointer: names[0]}
	}
	return reply{code: dnsmessage.RCodeNameError}
}

func ofFamily(list []netip.Addr, kind dnsmessage.Type) []netip.Addr {
	var some []netip.Addr
	for _, a := range list {
		if a = a.WithZone(""); a.Unmap().Is4() == (kind == dnsmessage.TypeA) {
			if kind == dnsmessage.TypeA {
				a = a.Unmap()
			}
			some = append(some, a)
		}
	}
	return some
}

// reversed reads a name of in-addr.arpa or ip6.arpa (RFC 1035, section 3.5; RFC 3596, section 2.5).
func reversed(name string) (netip.Addr, bool) {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if labels, ok := strings.CutSuffix(name, ".in-addr.arpa"); ok {
		parts := strings.Split(labels, ".")
		if len(parts) != 4 {
			return netip.Addr{}, false
		}
		a, err := netip.ParseAddr(parts[3] + "." + parts[2] + "." + parts[1] + "." + parts[0])
		return a, err == nil
	}
	labels, ok := strings.CutSuffix(name, ".ip6.arpa")
	if !ok || len(labels) != 63 {
		return netip.Addr{}, false
	}
	var b strings.Builder
	for i := 62; i >= 0; i -= 2 {
		if i > 0 && labels[i-1] != '.' {
			return netip.Addr{}, false
		}
		b.WriteByte(labels[i])
		if n := (62-i)/2 + 1; n%4 == 0 && n < 32 {
			b.WriteByte(':')
		}
	}
	a, err := netip.ParseAddr(b.String())
	return a, err == nil
}
