package denial

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"microagent/runtime/driver"
	"microagent/runtime/network/policy"
	"microagent/schema/address"
	"microagent/schema/dnsname"
	"microagent/schema/spec"
)

// Missing are the rules that would allow what was denied for want of one, in the order in which it was asked for, and names
// without a dot, which may be meant as peers. What a builtin or a deny rule denies is never among them, nor what n allows by
// now. The guest chose all of them.
func Missing(list []driver.Denial, n *spec.Network) (rules []spec.Rule, peers []string) {
	m := missing{have: n, names: map[string]bool{}}
	if n == nil {
		m.have = &spec.Network{}
	}
	for _, r := range slices.Concat(m.have.Allow, m.have.Deny) {
		m.names[r.Name] = true
	}
	for _, d := range list {
		if d.Rule == policy.RuleDefault {
			m.add(d)
		}
	}
	for i := range m.rules {
		if r := &m.rules[i]; len(r.Ports)+len(r.UDP) == 0 { // the question alone was asked
			r.Ports = []spec.PortRange{{First: 443, Last: 443}}
		}
	}
	m.rules = slices.DeleteFunc(m.rules, func(r spec.Rule) bool { return r.Host != "" && m.allowed(r.Host, r.Ports, r.UDP) })
	for i := range m.rules {
		m.rules[i].Name = m.name(m.rules[i])
	}
	return m.rules, m.peers
}

type missing struct {
	have  *spec.Network
	names map[string]bool // of rules that are taken
	rules []spec.Rule
	peers []string
}

func (m *missing) add(d driver.Denial) {
	want := spec.Rule{Host: d.Server}
	if want.Host == "" && len(d.Names) > 0 {
		want.Host = d.Names[0]
	}
	if want.Host == "" {
		a, err := netip.ParseAddr(d.Address)
		if class, _ := address.Of(a); err != nil || class != address.Public {
			return
		}
		want.CIDR = netip.PrefixFrom(a, a.BitLen()).String()
	} else {
		name, err := dnsname.Parse(dnsname.OfService(want.Host))
		if err != nil || name == spec.HostName {
			return
		}
		if !strings.Contains(name, ".") {
			if !slices.Contains(m.peers, name) && !slices.ContainsFunc(m.have.Peers, func(p spec.Peer) bool { return p.Name == name }) {
				m.peers = append(m.peers, name)
			}
			return
		}
		want.Host = name
	}
	i := slices.IndexFunc(m.rules, func(r spec.Rule) bool { return r.Host == want.Host && r.CIDR == want.CIDR })
	if i < 0 {
		m.rules, i = append(m.rules, want), len(m.rules)
	}
	if d.Port == 0 {
		return
	}
	ports := &m.rules[i].Ports
	if d.Protocol == string(spec.UDP) {
		ports = &m.rules[i].UDP
	}
	if !spec.HoldsPort(*ports, d.Port) {
		*ports = append(*ports, spec.PortRange{First: d.Port, Last: d.Port})
	}
}

// allowed says whether the rules that are there allow a name at all of the ports.
func (m *missing) allowed(name string, ports, udp []spec.PortRange) bool {
	holds := func(p spec.PortRange, of func(spec.Rule) []spec.PortRange) bool {
		return slices.ContainsFunc(m.have.Allow, func(r spec.Rule) bool {
			return (r.Host == name || r.Suffix != "" && dnsname.Within(name, r.Suffix)) && spec.HoldsPort(of(r), p.First)
		})
	}
	for _, p := range ports {
		if !holds(p, func(r spec.Rule) []spec.PortRange { return r.Ports }) {
			return false
		}
	}
	for _, p := range udp {
		if !holds(p, func(r spec.Rule) []spec.PortRange { return r.UDP }) {
			return false
		}
	}
	return true
}

// name makes a rule's name of what it names, one that is free.
func (m *missing) name(r spec.Rule) string {
	var b strings.Builder
	for _, c := range strings.TrimSuffix(strings.TrimSuffix(r.Host+r.CIDR, "/32"), "/128") {
		if c < 'a' || c > 'z' {
			if (c < '0' || c > '9') || b.Len() == 0 {
				if b.Len() == 0 {
					b.WriteByte('a')
				}
				if c < '0' || c > '9' {
					c = '-'
				}
			}
		}
		b.WriteRune(c)
	}
	const longest = 31 // of a name, less what makes it free
	base := strings.Trim(b.String()[:min(b.Len(), longest-4)], "-")
	name := base
	for n := 2; m.names[name]; n++ {
		name = fmt.Sprintf("%s-%d", base, n)
	}
	m.names[name] = true
	return name
}
