package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"microagent/plan/observed"
	"microagent/schema"
	"microagent/schema/netrule"
	"microagent/schema/spec"
)

// Nets are what Options.Net may be.
const (
	NetPolicy = "policy" // what the manifest says; "" as well
	NetNone   = "none"   // no network, whatever the manifest says
	NetPublic = "public" // every public address as well, for a workspace with a network
)

// desiredNetwork is what a declared workspace may reach: its rules, its peers with the ports that they declare, and of the
// user's grants those that it asks for.
func (p *planner) desiredNetwork(name string) *spec.Network {
	ws := p.manifest.Workspaces[name]
	if ws.Network == nil || p.options.Net == NetNone {
		return nil
	}
	n := &spec.Network{Allow: slices.Clone(ws.Network.Allow), Deny: slices.Clone(ws.Network.Deny)}
	if p.options.Net == NetPublic {
		n.Allow = append(n.Allow, netrule.Public())
	}
	for _, peer := range ws.Network.Peers {
		n.Peers = append(n.Peers, spec.Peer{Name: peer.Name, ID: OnDisk(p.manifest.Project, peer.Name), Ports: declaredPorts(p.manifest.Workspaces[peer.Name])})
	}
	for _, g := range p.options.Grants {
		if slices.ContainsFunc(n.Allow, func(r spec.Rule) bool { return netrule.Concerns(g, r) }) {
			n.Grants = append(n.Grants, g)
		}
	}
	return n
}

// declaredPorts are the ports of the guest alone: where the host has them is no peer's concern.
func declaredPorts(ws schema.Workspace) []spec.Port {
	var list []spec.Port
	for name, p := range ws.Ports {
		list = append(list, spec.Port{Name: name, Guest: p.Guest, Count: p.Count, Protocol: p.Protocol})
	}
	slices.SortFunc(list, func(a, b spec.Port) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// GrantBy is the command that the advice of CodeNotGranted begins with; all grants that are missing follow it.
const GrantBy = "microagent apply"

// checkNetworks refuses what a manifest asks for and only the user can give.
func (p *planner) checkNetworks() {
	p.adviseGrants(p.findUngranted())
	p.findUnasked()
}

// ungranted is a rule that asks for a grant which nobody gave.
type ungranted struct {
	workspace string
	rule      spec.Rule
	grant     string
}

func (p *planner) findUngranted() (list []ungranted) {
	for _, name := range p.order.Sorted() {
		n := p.want[name].Network
		if n == nil || !p.concern(Address{KindWorkspace, name}) {
			continue
		}
		for _, r := range n.Allow {
			if asked := netrule.Asks(r); asked != nil && !netrule.Granted(*asked, n.Grants) {
				list = append(list, ungranted{name, r, asked.String()})
			}
		}
	}
	return list
}

// adviseGrants refuses each, and advises one command that grants all.
func (p *planner) adviseGrants(list []ungranted) {
	next := "to grant what is asked for: " + GrantBy
	var given []string
	for _, u := range list {
		if !slices.Contains(given, u.grant) {
			given = append(given, u.grant)
			next += " --allow-net " + inShell(u.grant)
		}
	}
	for _, u := range list {
		p.fail(CodeNotGranted, p.manifest.Workspaces[u.workspace].RulePos[u.rule.Name], next,
			"workspace %s asks for %s by its rule %s, which is the user's to grant", u.workspace, u.rule.String(), u.rule.Name)
	}
}

// findUnasked warns of grants that nothing asks for.
func (p *planner) findUnasked() {
	used := map[string]bool{}
	for _, name := range p.order.Sorted() {
		n := p.want[name].Network
		if n == nil {
			continue
		}
		for _, g := range n.Grants {
			used[g.String()] = true
		}
	}
	for _, g := range p.options.Grants {
		if !used[g.String()] {
			p.warn(CodeNotAsked, p.manifest.Pos, "leave it out, or name it below network of a workspace", "--allow-net %s: no workspace asks for it", g)
		}
	}
}

// inShell keeps a shell from reading brackets.
func inShell(text string) string {
	if strings.Contains(text, "[") {
		return "'" + text + "'"
	}
	return text
}

// compareNetwork tells rules and peers by their names. What is allowed more stands in a line of its own.
func (c *comparison) compareNetwork(have, want *spec.Network) {
	c.comes = (have == nil) != (want == nil)
	c.compareText("network", "network", networkText(have), networkText(want))
	have, want = cmp.Or(have, &spec.Network{}), cmp.Or(want, &spec.Network{})
	rule := func(key string) func(before, after *spec.Rule) {
		return func(before, after *spec.Rule) {
			c.compareText("network", "network."+key+"."+cmp.Or(before, after).Name, ruleText(before), ruleText(after))
		}
	}
	byName := func(r spec.Rule) string { return r.Name }
	eachPair(have.Allow, want.Allow, byName, rule("allow"))
	eachPair(have.Deny, want.Deny, byName, rule("deny"))
	eachPair(have.Peers, want.Peers, func(p spec.Peer) string { return p.Name }, func(before, after *spec.Peer) {
		c.compareText("network", "network.peers."+cmp.Or(before, after).Name, peerText(before), peerText(after))
	})
	c.compareText("network", "network.granted", grantsText(have.Grants), grantsText(want.Grants))
	c.comes = false
}

func networkText(n *spec.Network) string {
	if n == nil {
		return ""
	}
	return "by its rules"
}

func ruleText(r *spec.Rule) string {
	if r == nil {
		return ""
	}
	return r.String()
}

func peerText(p *spec.Peer) string {
	if p == nil {
		return ""
	}
	ports := make([]string, len(p.Ports))
	for i, port := range p.Ports {
		ports[i] = port.Inside()
	}
	return fmt.Sprintf("workspace %s at %s", p.ID, cmp.Or(strings.Join(ports, ", "), "no port"))
}

func grantsText(list []spec.Grant) string {
	texts := make([]string, len(list))
	for i, g := range list {
		texts[i] = g.String()
	}
	slices.Sort(texts)
	return strings.Join(texts, ", ")
}

// permits says that what a guest may reach changes, and that it has a network before and after.
func (d *difference) permits() bool {
	return slices.ContainsFunc(d.fields, func(f FieldChange) bool { return strings.HasPrefix(f.Path, "network.") }) &&
		!slices.ContainsFunc(d.fields, func(f FieldChange) bool { return f.Path == "network" })
}

// asked are the fields of what a new workspace may reach: a plan says each, as it says what is widened.
func asked(want *observed.WorkspaceSpec) []FieldChange {
	var c comparison
	c.compareNetwork(nil, want.Network)
	slices.SortFunc(c.fields, func(a, b FieldChange) int { return cmp.Compare(a.Path, b.Path) })
	return c.fields
}
