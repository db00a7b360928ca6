package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"microagent/schema/address"
	"microagent/schema/dnsname"
	"microagent/schema/spec"
)

// Answer judges an address that a name was resolved to. What is denied is neither shown to the guest nor pinned.
func (p *Policy) Answer(name string, a netip.Addr) Verdict {
	if rule, reason := p.builtin(a, 0, false); rule != "" {
		return deny(StageAnswer, rule, fmt.Sprintf("%s has the address %s, and %s", name, a, reason))
	}
	return allow(StageAnswer, RuleDefault, "the address may be dialled")
}

// Alias judges a name that the answer for another leads through: what is denied at every port is so by that way as well.
// No rule has to allow it.
func (p *Policy) Alias(name, alias string) Verdict {
	one, err := dnsname.Wire(alias)
	if err != nil {
		return deny(StageAnswer, RuleName, fmt.Sprintf("%s is an alias of a name that %s", name, err))
	}
	if r := first(p.deny, func(r *rule) bool { return r.everyPort() && r.named(one) }); r != nil {
		return deny(StageAnswer, r.Name, aliasDenied(name, one, r))
	}
	return allow(StageAnswer, RuleDefault, "no rule denies "+one)
}

func aliasDenied(name, alias string, r *rule) string {
	return fmt.Sprintf("%s is an alias of %s, and a deny rule names %s", name, alias, r.What())
}

// Flow judges the first packet of a connection, or between two ports. Before that, Packet judges where it comes from.
func (p *Policy) Flow(f Flow) Verdict {
	stage := StageTCP
	if f.Protocol == spec.UDP {
		stage = StageUDP
	}
	to, port := f.To.Addr(), f.To.Port()
	switch q := p.peerAt(to); {
	case q != nil:
		return p.toPeer(stage, f, q)
	case to == Host4:
		return p.toHost(stage, f)
	}
	if rule, reason := p.builtin(to, port, true); rule != "" {
		return deny(stage, rule, reason)
	}
	if f.Protocol == spec.UDP && port == 443 {
		return deny(stage, RuleQUIC, "QUIC hides the name of its server; over TCP it can be checked")
	}
	return p.byRules(stage, f)
}

// byRules judges what no builtin is against.
func (p *Policy) byRules(stage Stage, f Flow) Verdict {
	to, port := f.To.Addr(), f.To.Port()
	if r := first(p.deny, func(r *rule) bool { return r.ported(f.Protocol, port) && r.addressed(to) }); r != nil {
		return deny(stage, r.Name, "a deny rule names "+r.What())
	}
	var names []string
	var denied Verdict
	for _, name := range f.Names {
		if v := p.nameOf(stage, f, name); v.Allowed {
			names = append(names, name)
		} else {
			denied = v
		}
	}
	if denied.Rule != "" && len(names) == 0 {
		return denied
	}
	fits := func(r *rule) bool {
		return r.ported(f.Protocol, port) && (r.addressed(to) || slices.ContainsFunc(names, r.named))
	}
	// A rule that looks at no name is asked first: what it allows needs no handshake.
	r := first(p.allow, func(r *rule) bool { return fits(r) && !r.checksName(f) })
	if r == nil {
		r = first(p.allow, fits)
	}
	if r != nil {
		v := allow(stage, r.Name, "a rule allows "+r.What())
		v.Route, v.CheckName = RouteOut, r.checksName(f)
		return v
	}
	return deny(stage, RuleDefault, p.whyNot(f, names))
}

// nameOf says whether a deny rule names one of the names for which f's address was given, or what that led through.
func (p *Policy) nameOf(stage Stage, f Flow, name string) Verdict {
	for i, one := range append([]string{name}, f.Aliases[name]...) {
		if i > 0 {
			var err error
			if one, err = dnsname.Wire(one); err != nil {
				continue // Alias denies it
			}
		}
		r := first(p.deny, func(r *rule) bool { return r.ported(f.Protocol, f.To.Port()) && r.named(one) })
		switch {
		case r != nil && i == 0:
			return deny(stage, r.Name, "a deny rule names "+r.What())
		case r != nil:
			return deny(stage, r.Name, aliasDenied(name, one, r))
		}
	}
	return Verdict{Allowed: true}
}

func (r *rule) checksName(f Flow) bool { return f.Protocol != spec.UDP && r.ChecksName(f.To.Port()) }

// whyNot says why no rule allows f: its port, its name, or that it has none.
func (p *Policy) whyNot(f Flow, names []string) string {
	to := fmt.Sprintf("%d/%s", f.To.Port(), f.Protocol)
	if r := first(p.allow, func(r *rule) bool { return r.addressed(f.To.Addr()) || slices.ContainsFunc(names, r.named) }); r != nil {
		return fmt.Sprintf("the rule %s allows other ports of %s than %s", r.Name, r.What(), to)
	}
	if len(names) > 0 {
		return fmt.Sprintf("no allow rule names %s at %s", strings.Join(names, ", "), to)
	}
	return fmt.Sprintf("no allow rule has the address %s, which was given for no name", f.To.Addr())
}

func (p *Policy) toPeer(stage Stage, f Flow, q *peer) Verdict {
	for _, port := range q.Ports {
		if port.UDP() == (f.Protocol == spec.UDP) && port.Guest <= f.To.Port() && int(f.To.Port()) < int(port.Guest)+port.Numbers() {
			v := allow(stage, rulePeer+q.Name, "it is a declared port of a peer")
			v.Route, v.Peer = RoutePeer, q.Name
			return v
		}
	}
	return deny(stage, RuleDefault, fmt.Sprintf("the peer %s declares no port %d/%s", q.Name, f.To.Port(), f.Protocol))
}

func (p *Policy) toHost(stage Stage, f Flow) Verdict {
	if !p.grantsLoopback(f.To.Port()) {
		return deny(stage, RuleHost, fmt.Sprintf("the host's loopback is the user's to grant, by --allow-net host:%d", f.To.Port()))
	}
	named := func(r *rule) bool { return r.Host == spec.HostName && r.ported(f.Protocol, f.To.Port()) }
	if r := first(p.deny, named); r != nil {
		return deny(stage, r.Name, "a deny rule names "+r.What())
	}
	r := first(p.allow, named)
	if r == nil {
		return deny(stage, RuleDefault, fmt.Sprintf("no allow rule names %s at %d/%s", spec.HostName, f.To.Port(), f.Protocol))
	}
	v := allow(stage, r.Name, "the user granted it")
	v.Route = RouteHost
	return v
}

// Dial judges the very address that is about to be dialled for a flow of RouteOut, whatever was judged before: own says
// that an interface of the host has it.
func (p *Policy) Dial(to netip.AddrPort, own bool) Verdict {
	if own && !p.grantsLoopback(to.Port()) {
		return deny(StageDial, RuleHost, fmt.Sprintf("%s is an address of the host itself", to.Addr()))
	}
	if rule, reason := p.builtin(to.Addr(), to.Port(), true); rule != "" {
		return deny(StageDial, rule, reason)
	}
	return allow(StageDial, RuleDefault, "the address may be dialled")
}

// builtin gives the rule that denies an address whatever a manifest says, and why; "" for none. Without ported, a grant of
// any port counts.
func (p *Policy) builtin(a netip.Addr, port uint16, ported bool) (rule, reason string) {
	if Link4.Contains(a.Unmap()) || Link6.Contains(a) {
		return RuleLink, fmt.Sprintf("%s is an address of the guest's own link", a)
	}
	class, what := address.Of(a)
	switch class {
	case address.Public:
		return "", ""
	case address.Metadata:
		rule = RuleMetadata
	case address.Host:
		rule = RuleHost
	case address.Private:
		if slices.ContainsFunc(p.grants, func(g grant) bool {
			return g.cidr.IsValid() && g.cidr.Contains(a) && (!ported || len(g.Ports) == 0 || spec.HoldsPort(g.Ports, port))
		}) {
			return "", ""
		}
		return RulePrivate, fmt.Sprintf("%s is %s, which is the user's to grant, by --allow-net %s", a, what, a)
	default:
		rule = RuleSpecial
	}
	return rule, fmt.Sprintf("%s is %s", a, what)
}

func (p *Policy) grantsLoopback(port uint16) bool {
	return slices.ContainsFunc(p.grants, func(g grant) bool { return g.Loopback && spec.HoldsPort(g.Ports, port) })
}
