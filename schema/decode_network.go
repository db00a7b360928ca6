package schema

import (
	"slices"
	"strings"

	"microagent/schema/diag"
	"microagent/schema/netrule"
	"microagent/schema/spec"
)

// network reads what a guest may reach, and where its rules are. A rule that is none was reported, and is left out.
func (o fields) network() (*spec.Network, map[string]diag.Pos) {
	out := &spec.Network{}
	at := map[string]diag.Pos{}
	read := func(key string) (rules []spec.Rule) {
		list := o.n.get(key)
		if list == nil || list.bad {
			return nil
		}
		for _, item := range list.items {
			if item.bad {
				continue
			}
			if r, errs := readRule(item, key == "deny"); len(errs) == 0 {
				rules = append(rules, r)
				at[r.Name] = o.pos(item.at)
			}
		}
		return rules
	}
	out.Allow, out.Deny = read("allow"), read("deny")
	peers := o.list("peers")
	slices.Sort(peers)
	for _, name := range slices.Compact(peers) {
		out.Peers = append(out.Peers, spec.Peer{Name: name})
	}
	return out, at
}

// destinations are the keys of which a rule has exactly one, in the order of their errors.
var destinations = []string{"host", "suffix", "cidr", "group"}

// readRule reads a rule, with what is wrong with its values.
func readRule(n *node, denies bool) (spec.Rule, []*netrule.Error) {
	var r spec.Rule
	var errs []*netrule.Error
	text := func(key string) string {
		if v := n.get(key); v != nil && !v.bad {
			return v.text
		}
		return ""
	}
	destination := func(key string, read func(string) (string, error)) string {
		value := text(key)
		if value == "" {
			return ""
		}
		value, err := read(value)
		if e, ok := err.(*netrule.Error); ok {
			errs = append(errs, e)
		}
		return value
	}
	ports := func(key string) (ranges []spec.PortRange) {
		list := n.get(key)
		if list == nil || list.bad {
			return nil
		}
		for _, item := range list.items {
			if item.bad {
				continue
			}
			one, err := netrule.Port(key, item.text)
			if e, ok := err.(*netrule.Error); ok {
				errs = append(errs, e)
			}
			ranges = append(ranges, one)
		}
		return ranges
	}
	r.Name, r.Group = text("name"), spec.Group(text("group"))
	r.Host, r.Suffix, r.CIDR = destination("host", netrule.Host), destination("suffix", netrule.Suffix), destination("cidr", netrule.CIDR)
	r.Ports, r.UDP = ports("ports"), ports("udp")
	if value := text("tls"); value != "" {
		r.TLS = new(strings.EqualFold(value, "true"))
	}
	netrule.Default(&r, denies)
	return r, errs
}
