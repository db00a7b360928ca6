package policy

import (
	"fmt"
	"slices"
	"strings"

	"microagent/schema/dnsname"
	"microagent/schema/spec"
)

func within(name, suffix string) bool { return dnsname.Within(name, suffix) }

// Question judges that the guest asks for a name, in whatever spelling, of any type of record. A name is allowed when some
// port of it would be, so that what is denied is never asked for outside: a question is a message as well.
func (p *Policy) Question(text string) Verdict {
	name, err := dnsname.Wire(text)
	if err != nil {
		return deny(StageQuestion, RuleName, "the name "+err.Error())
	}
	return p.name(StageQuestion, dnsname.OfService(name), func(*rule) bool { return true })
}

// name judges a name at the ports that at is true for.
func (p *Policy) name(stage Stage, name string, at func(*rule) bool) Verdict {
	if r := first(p.deny, func(r *rule) bool {
		return r.named(name) && (stage == StageQuestion && r.everyPort() || stage != StageQuestion && at(r))
	}); r != nil {
		return deny(stage, r.Name, fmt.Sprintf("a deny rule names %s", r.What()))
	}
	if name == spec.HostName {
		return p.hostName(stage)
	}
	if q := p.peerNamed(name); q != nil && stage == StageQuestion {
		return allow(stage, rulePeer+q.Name, "it is a peer")
	}
	if r := first(p.allow, func(r *rule) bool { return r.named(name) && at(r) }); r != nil {
		return allow(stage, r.Name, "a rule allows "+r.What())
	}
	if !strings.Contains(name, ".") {
		return deny(stage, RuleDefault, fmt.Sprintf("%s is no peer of this workspace; below its network, peers: [%s] names one", name, name))
	}
	if r := first(p.allow, func(r *rule) bool { return r.Group == spec.GroupPublic && at(r) }); r != nil {
		return allow(stage, r.Name, "a rule allows every public address")
	}
	return deny(stage, RuleDefault, "no allow rule names "+name)
}

// hostName judges spec.HostName: a rule must ask for it, and the user grant it.
func (p *Policy) hostName(stage Stage) Verdict {
	r := first(p.allow, func(r *rule) bool { return stage == StageQuestion && r.Host == spec.HostName })
	granted := slices.ContainsFunc(p.grants, func(g grant) bool { return g.Loopback })
	switch {
	case !granted:
		return deny(stage, RuleHost, "the host's loopback is the user's to grant, by --allow-net host:PORT")
	case r == nil:
		return deny(stage, RuleDefault, "no allow rule names "+spec.HostName)
	}
	return allow(stage, r.Name, "the user granted a port of the host's loopback")
}

// everyPort says whether a deny rule leaves no port of its names: those without ports are of all.
func (r *rule) everyPort() bool {
	return slices.Contains(r.Ports, spec.AllPorts) && slices.Contains(r.UDP, spec.AllPorts)
}

// Name judges the first bytes of a connection of which an earlier verdict said CheckName.
func (p *Policy) Name(f Flow, h Hello) Verdict {
	switch {
	case !h.TLS:
		return deny(StageName, RuleDefault, fmt.Sprintf("port %d is allowed for TLS, and the connection begins with something else", f.To.Port()))
	case h.ECH:
		return deny(StageName, RuleECH, "the handshake encrypts the name that it asks for")
	case h.Name == "":
		return deny(StageName, RuleDefault, "the handshake names no server")
	}
	name, err := dnsname.Wire(h.Name)
	if err != nil {
		return deny(StageName, RuleName, "the name in the handshake "+err.Error())
	}
	if v := p.nameOf(StageName, f, name); !v.Allowed {
		return v
	}
	v := p.name(StageName, name, func(r *rule) bool { return r.ported(f.Protocol, f.To.Port()) })
	if v.Allowed {
		v.Route = RouteOut
	}
	return v
}

func allow(stage Stage, rule, reason string) Verdict {
	return Verdict{Stage: stage, Allowed: true, Rule: rule, Reason: reason}
}

func deny(stage Stage, rule, reason string) Verdict {
	return Verdict{Stage: stage, Rule: rule, Reason: reason}
}
