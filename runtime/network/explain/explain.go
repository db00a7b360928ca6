// Package explain says what would become of a connection: which rule decides at each stage, and why.
//
// It promises the answers that a guest would get now, from the same policy and the same resolver. It connects to nothing,
// and asks a resolver only for names that the policy allows.
package explain

import (
	"context"
	"net/netip"

	"microagent/runtime/network/dns"
	"microagent/runtime/network/policy"
	"microagent/schema/spec"
)

// Rules of steps at which the host gives nothing: its resolver no address, or itself no way to one.
const (
	RuleResolver = "resolver"
	RuleRoute    = "route"
)

// Host is what explanations ask of this host.
type Host struct {
	Resolver dns.Resolver
	Own      func(netip.Addr) bool      // whether an interface has an address
	Route    func(netip.AddrPort) error // why there is no way to an address, without anything being sent; nil for there may be
}

// Step is what is decided at one stage, of one address from StageAnswer on.
type Step struct {
	policy.Verdict
	Address string `json:"address,omitempty"`
}

// Explanation is what becomes of a connection. A connection is allowed when one of its addresses is.
type Explanation struct {
	Host     string        `json:"host"`
	Port     uint16        `json:"port"`
	Protocol spec.Protocol `json:"protocol"`
	Allowed  bool          `json:"allowed"`
	Rule     string        `json:"rule"`
	Reason   string        `json:"reason"`
	Steps    []Step        `json:"steps"`
}

// Connection explains one to host, which is a name or an address.
func Connection(ctx context.Context, p *policy.Policy, here Host, host string, port uint16, protocol spec.Protocol) Explanation {
	e := Explanation{Host: host, Port: port, Protocol: protocol, Steps: []Step{}}
	if a, err := netip.ParseAddr(host); err == nil {
		e.address(p, here, a, policy.Flow{})
		return e
	}
	if v := p.Question(host); !e.add(v, "") {
		return e
	}
	if a, ok := p.Synthetic(host); ok {
		e.address(p, here, a, policy.Flow{Names: []string{host}})
		return e
	}
	addresses, through, err := here.Resolver.Lookup(ctx, host)
	if err != nil || len(addresses) == 0 {
		reason := "the host's resolver knows no address of it"
		if err != nil {
			reason = "the host's resolver gives no address: " + err.Error()
		}
		e.add(policy.Verdict{Stage: policy.StageAnswer, Rule: RuleResolver, Reason: reason}, "")
		return e
	}
	for _, alias := range through {
		if v := p.Alias(host, alias); !v.Allowed {
			e.add(v, "")
			return e
		}
	}
	for _, a := range addresses {
		if a = a.WithZone(""); e.add(p.Answer(host, a), a.String()) {
			e.address(p, here, a, policy.Flow{Names: []string{host}, Aliases: map[string][]string{host: through}})
		}
	}
	return e
}

// address judges a flow to an address that was given for f's name, if it has one.
func (e *Explanation) address(p *policy.Policy, here Host, a netip.Addr, f policy.Flow) {
	f.Protocol, f.To = e.Protocol, netip.AddrPortFrom(a, e.Port)
	v := p.Flow(f)
	if !e.add(v, a.String()) {
		return
	}
	decided := v
	if v.CheckName && len(f.Names) > 0 { // that of a rule by name
		if v = p.Name(f, policy.Hello{TLS: true, Name: f.Names[0]}); !e.add(v, a.String()) {
			return
		}
	}
	if decided.Route == policy.RouteOut {
		if v = p.Dial(f.To, here.Own(a)); !e.add(v, a.String()) {
			return
		}
		if err := here.Route(f.To); err != nil {
			e.add(policy.Verdict{Stage: policy.StageDial, Rule: RuleRoute, Reason: "this host has no way to it: " + err.Error()}, a.String())
			return
		}
	}
	e.Allowed, e.Rule, e.Reason = true, decided.Rule, decided.Reason
}

// add adds a step and says whether it allows.
func (e *Explanation) add(v policy.Verdict, address string) bool {
	e.Steps = append(e.Steps, Step{v, address})
	if !e.Allowed && !v.Allowed {
		e.Rule, e.Reason = v.Rule, v.Reason
	}
	return v.Allowed
}
