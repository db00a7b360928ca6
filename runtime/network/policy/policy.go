// Package policy decides what a workspace may reach. It is a function of what the manifest asks, what the user grants and
// what is asked for now: it has no clock, opens nothing and resolves nothing.
//
// It promises that one thing asked at two stages is judged by the same rules: the question for a name, its answer, the
// first packet, the name in a TLS handshake, and the very address that is dialled. What no rule allows is denied; a deny
// rule beats every allow rule; and a builtin denial beats both. Of those, a manifest lifts none, and a user's grant those
// of private networks and of the host's own loopback alone. It never takes an address for public because of the way in
// which it is written.
package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"microagent/schema/address"
	"microagent/schema/spec"
)

// Stage is when something is asked for.
type Stage string

const (
	StageQuestion Stage = "dns"    // a name is asked for
	StageAnswer   Stage = "answer" // the address that a name has
	StageTCP      Stage = "tcp"    // the first packet of a connection
	StageUDP      Stage = "udp"    // the first packet between two ports
	StageName     Stage = "sni"    // the first bytes of a connection that has to be TLS
	StageDial     Stage = "dial"   // the address that is about to be dialled
)

// Names of rules that are not of a manifest.
const (
	RuleDefault  = "default"          // nothing allows it
	RuleMetadata = "builtin:metadata" // credentials of a cloud
	RuleHost     = "builtin:host"     // the host itself
	RulePrivate  = "builtin:private"  // networks of the host
	RuleSpecial  = "builtin:special"  // what no unicast traffic goes to
	RuleQUIC     = "builtin:quic"     // TLS whose server's name can't be read
	RuleECH      = "builtin:ech"      // TLS whose server's name is encrypted
	RuleName     = "builtin:name"     // what is no name of a host
	RuleLink     = "builtin:link"     // the guest's own end: its address and gateway
	rulePeer     = "peer:"            // followed by the peer's name
)

// Route is where something that is allowed leads to.
type Route string

const (
	RouteOut  Route = "out"  // the address itself is dialled
	RouteHost Route = "host" // the host's loopback is, at the same port
	RoutePeer Route = "peer" // a workspace of the project is, through its supervisor
)

// Verdict is what is decided, at which stage, by which rule and why.
type Verdict struct {
	Stage   Stage  `json:"stage"`
	Allowed bool   `json:"allowed"`
	Rule    string `json:"rule"`   // a rule's name, or one of those above
	Reason  string `json:"reason"` // a clause in words; names in it come from the guest, and are ASCII
	// CheckName says that the connection must begin with a TLS handshake, whose name Policy.Name has to allow.
	CheckName bool   `json:"check_name,omitempty"`
	Route     Route  `json:"route,omitempty"` // of what is allowed, but for a question
	Peer      string `json:"peer,omitempty"`  // of RoutePeer: the name as it is asked for
}

// Builtin says whether no rule of a manifest could change v.
func (v Verdict) Builtin() bool { return strings.HasPrefix(v.Rule, "builtin:") }

// Flow is a connection, or the datagrams between two ports, that the guest begins.
type Flow struct {
	Protocol spec.Protocol  // TCP or UDP
	To       netip.AddrPort // as the guest has it
	// Names are those for which the guest was given the address, as dnsname gives them.
	Names []string
	// Aliases are, by such a name, those that it led through.
	Aliases map[string][]string
}

// Hello is what the first bytes of a connection say, as package hello reads them.
type Hello struct {
	TLS  bool   // they are a ClientHello
	Name string // the server's, as it was sent; "" for none
	ECH  bool   // the real name is encrypted
}

// Policy is a network's rules, ready to be asked. It does not change, and may be asked by many at once.
type Policy struct {
	allow, deny []rule
	grants      []grant
	peers       []peer
}

// rule is a spec.Rule with its range read.
type rule struct {
	spec.Rule
	cidr netip.Prefix
}

type grant struct {
	spec.Grant
	cidr netip.Prefix
}

type peer struct {
	spec.Peer
	address netip.Addr
}

// None allows nothing.
var None = &Policy{}

// New makes a policy of rules as schema and the command line check them. An error names the rule that is none.
func New(n *spec.Network) (*Policy, error) {
	if n == nil {
		return None, nil
	}
	p := &Policy{}
	var err error
	if p.allow, err = rules(n.Allow); err != nil {
		return nil, err
	}
	if p.deny, err = rules(n.Deny); err != nil {
		return nil, err
	}
	for _, g := range n.Grants {
		own := grant{Grant: g}
		if g.CIDR != "" {
			if own.cidr, err = netip.ParsePrefix(g.CIDR); err != nil {
				return nil, fmt.Errorf("the grant %s: %w", g, err)
			}
		}
		p.grants = append(p.grants, own)
	}
	for _, one := range n.Peers {
		p.peers = append(p.peers, peer{one, p.freePeerAddress(one.Name)})
	}
	return p, nil
}

func rules(list []spec.Rule) ([]rule, error) {
	var all []rule
	for _, r := range list {
		own := rule{Rule: r}
		kinds := 0
		for _, text := range []string{r.Host, r.Suffix, r.CIDR, string(r.Group)} {
			if text != "" {
				kinds++
			}
		}
		if kinds != 1 || r.Group != "" && r.Group != spec.GroupPublic {
			return nil, fmt.Errorf("the rule %q is not one of host, suffix, cidr and group public", r.Name)
		}
		if r.CIDR != "" {
			var err error
			if own.cidr, err = netip.ParsePrefix(r.CIDR); err != nil {
				return nil, fmt.Errorf("the rule %q: %w", r.Name, err)
			}
		}
		all = append(all, own)
	}
	return all, nil
}

// named says whether r is by name, and name is one of its names.
func (r *rule) named(name string) bool {
	return r.Host != "" && r.Host == name || r.Suffix != "" && within(name, r.Suffix)
}

// addressed says whether r is by address, and a is one of its addresses.
func (r *rule) addressed(a netip.Addr) bool {
	return r.cidr.IsValid() && r.cidr.Contains(a) || r.Group == spec.GroupPublic && isPublic(a)
}

func (r *rule) ported(protocol spec.Protocol, port uint16) bool {
	if protocol == spec.UDP {
		return spec.HoldsPort(r.UDP, port)
	}
	return spec.HoldsPort(r.Ports, port)
}

func isPublic(a netip.Addr) bool {
	class, _ := address.Of(a)
	return class == address.Public
}

// first is the first rule of list that fits, nil when none does.
func first(list []rule, fits func(*rule) bool) *rule {
	if i := slices.IndexFunc(list, func(r rule) bool { return fits(&r) }); i >= 0 {
		return &list[i]
	}
	return nil
}
