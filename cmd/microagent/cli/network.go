package cli

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/pflag"

	"microagent/runtime/driver"
	"microagent/schema/netrule"
	"microagent/schema/spec"
)

// networkLines say what a workspace may reach, for status.
func networkLines(n *spec.Network) (lines [][2]string) {
	if n == nil {
		return nil
	}
	add := func(format string, args ...any) {
		lines = append(lines, [2]string{"Network", fmt.Sprintf(format, args...)})
	}
	for _, r := range n.Allow {
		add("allow %s %s", r.Name, r.String())
	}
	for _, r := range n.Deny {
		add("deny %s %s", r.Name, r.String())
	}
	for _, p := range n.Peers {
		add("peer %s", p.Name)
	}
	for _, g := range n.Grants {
		add("granted %s", g)
	}
	if len(lines) == 0 {
		add("reaches nothing")
	}
	return lines
}

// networkCounts say what the network of a workspace's newest run has done, for status.
func networkCounts(ws driver.Workspace) (lines [][2]string) {
	if ws.Run == nil || ws.Run.Network == nil {
		return nil
	}
	n := ws.Run.Network
	if n.Flows > 0 {
		lines = append(lines, [2]string{"Connections", fmt.Sprintf("%d are open", n.Flows)})
	}
	if n.Denied > 0 {
		lines = append(lines, [2]string{"Denied", fmt.Sprintf("%d in this run; see: microagent logs --network %s", n.Denied, ws.Spec.Name)})
	}
	for _, text := range n.Dropped.Texts() {
		lines = append(lines, [2]string{"Dropped", text})
	}
	return lines
}

// networkFlags say what a guest may reach.
type networkFlags struct {
	net    string
	allow  []string
	grants []spec.Grant // what allow says
}

func (o *networkFlags) add(f *pflag.FlagSet, about string) {
	f.StringVar(&o.net, "net", "policy", "none, policy or public: no network at all, what the rules say, or every public address as well")
	f.StringArrayVar(&o.allow, "allow-net", nil, "`HOST|.SUFFIX|CIDR|host[:PORT]`: "+about)
}

// parse reads the flags.
func (o *networkFlags) parse() error {
	if !slices.Contains([]string{"none", "policy", "public"}, o.net) {
		return fmt.Errorf("--net is %q; it can be none, policy or public", o.net)
	}
	if o.net == "none" && len(o.allow) > 0 {
		return errors.New("--net none and --allow-net exclude each other")
	}
	o.grants = nil
	for _, text := range o.allow {
		g, err := netrule.ParseGrant(text)
		if err != nil {
			return fmt.Errorf("--allow-net: %w", err)
		}
		if !slices.ContainsFunc(o.grants, func(h spec.Grant) bool { return h.String() == g.String() }) {
			o.grants = append(o.grants, g)
		}
	}
	return nil
}

// given says whether the flags ask for anything.
func (o *networkFlags) given() bool { return o.net != "policy" || len(o.grants) > 0 }

// widen gives n with what the flags allow, for a workspace that no manifest has: each grant is a rule as well. nil is no
// network at all.
func (o *networkFlags) widen(n *spec.Network) *spec.Network {
	if o.net == "none" || n == nil && !o.given() {
		return nil
	}
	wide := &spec.Network{}
	if n != nil {
		*wide = *n
	}
	wide.Allow, wide.Grants = slices.Clone(wide.Allow), slices.Clone(wide.Grants)
	rules := []spec.Rule{}
	for _, g := range o.grants {
		wide.Grants = append(wide.Grants, g)
		rules = append(rules, netrule.OfGrant(g))
	}
	if o.net == "public" {
		rules = append(rules, netrule.Public())
	}
	for _, r := range rules {
		if !slices.ContainsFunc(wide.Allow, func(s spec.Rule) bool { return s.Name == r.Name }) {
			wide.Allow = append(wide.Allow, r)
		}
	}
	return wide
}
