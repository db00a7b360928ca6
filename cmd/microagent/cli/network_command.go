package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"microagent/runtime/driver"
	"microagent/runtime/network/denial"
	"microagent/runtime/network/explain"
	"microagent/runtime/network/policy"
	"microagent/schema"
	"microagent/schema/dnsname"
	"microagent/schema/printable"
	"microagent/schema/spec"
)

func (a *app) networkCommand() *cobra.Command {
	return group("network", "what workspaces may reach, and why not", a.networkExplain(), a.networkSuggest())
}

func (a *app) networkExplain() *cobra.Command {
	return &cobra.Command{
		Use: "explain WORKSPACE HOST[:PORT]", Short: "say what would become of a connection, and by which rule",
		Long: "Asks the policy of a workspace what a guest would be told at each stage of a connection: the question for the\n" +
			"name, its addresses, the first packet, the name in the TLS handshake, and the address that is dialled. PORT is 443\n" +
			"when absent, and PORT/udp of UDP. Names that the policy allows are looked up as this host does; nothing is\n" +
			"connected to. Of a workspace that runs it is what that may reach now.",
		Example:     "  microagent network explain web api.example.com\n  microagent network explain web time.example.com:123/udp",
		Annotations: exitsWith(ExitOK, ExitFailed, ExitUsage),
		RunE: does(func(ctx context.Context, args []string) error {
			host, port, protocol, err := parseConnection(args[1])
			if err != nil {
				return usagef("microagent network explain", "%w", err)
			}
			w, ws, err := a.opened(ctx, false, "explain network of workspace", args[0])
			if err != nil {
				return err
			}
			one := []driver.Workspace{ws}
			askGuests(ctx, w, one)
			ws = one[0]
			e, err := a.explain(ctx, ws, host, port, protocol)
			if err != nil {
				return err
			}
			return a.showExplanation(ws, e)
		}),
	}
}

// parseConnection reads HOST[:PORT[/udp]]; an IPv6 address is in brackets before a port.
func parseConnection(text string) (host string, port uint16, protocol spec.Protocol, err error) {
	port, protocol = 443, spec.TCP
	rest, isUDP := strings.CutSuffix(text, "/udp")
	if isUDP {
		protocol = spec.UDP
	}
	rest = strings.TrimSuffix(rest, "/tcp")
	host = rest
	if _, bare := netip.ParseAddr(rest); bare != nil {
		if h, p, cut := net.SplitHostPort(rest); cut == nil {
			n, err := strconv.ParseUint(p, 10, 16)
			if err != nil || n == 0 {
				return "", 0, "", fmt.Errorf("%q is no port; write a number from 1 to 65535", p)
			}
			host, port = h, uint16(n)
		}
	}
	if address, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return address.String(), port, protocol, nil
	}
	name, err := dnsname.Parse(host)
	if err != nil {
		return "", 0, "", fmt.Errorf("%q %w; write HOST[:PORT], such as api.example.com or [2001:db8::1]:22", text, err)
	}
	return name, port, protocol, nil
}

// explained is an explanation with what it is of.
type explained struct {
	Workspace string `json:"workspace"`
	Running   bool   `json:"running"`
	Network   bool   `json:"network"` // it has one
	explain.Explanation
}

func (a *app) explain(ctx context.Context, ws driver.Workspace, host string, port uint16, protocol spec.Protocol) (explained, error) {
	state, running := networkNow(ws)
	e := explained{Workspace: ws.Spec.Name, Running: running, Network: state.May != nil}
	p, err := policy.New(state.May)
	if err != nil {
		return e, err
	}
	e.Explanation = explain.Connection(ctx, p, explain.Host{Resolver: a.resolver(), Own: ownAddresses(), Route: a.outside.Dialer.Route}, host, port, protocol)
	if state.May == nil {
		e.Rule, e.Reason = "none", "the workspace has no network"
	}
	return e, nil
}

// ownAddresses says of an address whether an interface of this host has it.
func ownAddresses() func(netip.Addr) bool {
	own := map[netip.Addr]bool{}
	list, _ := net.InterfaceAddrs() // without them every other check holds
	for _, one := range list {
		if n, ok := one.(*net.IPNet); ok {
			if address, ok := netip.AddrFromSlice(n.IP); ok {
				own[address.Unmap()] = true
			}
		}
	}
	return func(address netip.Addr) bool { return own[address.Unmap()] }
}

func (a *app) showExplanation(ws driver.Workspace, e explained) error {
	if a.JSON {
		return a.PrintJSON(e)
	}
	for _, s := range e.Steps {
		if !e.Network {
			break
		}
		word := "denied"
		if s.Allowed {
			word = "allowed"
		}
		if _, err := fmt.Fprintf(a.Out, "%-6s  %-7s by %s: %s\n", s.Stage, word, s.Rule, printable.Line(withAddress(s))); err != nil {
			return err
		}
	}
	word := "denied"
	if e.Allowed {
		word = "allowed"
	}
	to := net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port))) + "/" + string(e.Protocol)
	if _, err := fmt.Fprintf(a.Out, "%s is %s by %s: %s\n", to, word, e.Rule, printable.Line(e.Reason)); err != nil {
		return err
	}
	if !e.Network && ws.Spec.Project == "" {
		a.Say("create and start give it one by --allow-net")
	}
	return nil
}

func withAddress(s explain.Step) string {
	if s.Address == "" || strings.Contains(s.Reason, s.Address) {
		return s.Reason
	}
	return s.Address + ": " + s.Reason
}

func (a *app) networkSuggest() *cobra.Command {
	return &cobra.Command{
		Use: "suggest WORKSPACE", Short: "print the rules that a workspace was denied for want of",
		Long: "Prints, as a diff of the manifest, the rules that would allow what the guest asked for and no rule allows, from the\n" +
			"records of logs --network. The guest chose those names: read them before you take them. What is denied whatever\n" +
			"a manifest says is never among them, and nothing is written.",
		Example:     "  microagent network suggest web\n  microagent network suggest web | git apply",
		Annotations: exitsWith(ExitOK, ExitFailed, ExitUsage),
		RunE: does(func(ctx context.Context, args []string) error {
			w, ws, err := a.opened(ctx, false, "suggest rules for workspace", args[0])
			if err != nil {
				return err
			}
			list, err := w.Runs.Denials(ctx, ws.Spec.Name)
			if err != nil {
				return err
			}
			return a.suggest(ws, list)
		}),
	}
}

// suggestion is what would allow what was denied.
type suggestion struct {
	Workspace string      `json:"workspace"`
	Rules     []spec.Rule `json:"rules"`
	Peers     []string    `json:"peers"` // names without a dot
	Diff      string      `json:"diff,omitempty"`
}

func (a *app) suggest(ws driver.Workspace, list []driver.Denial) error {
	may := ws.Spec.Network
	name, declared := strings.CutPrefix(ws.Spec.Name, ws.Spec.Project+".")
	m, src, err := a.manifestOf(ws)
	if err != nil {
		return err
	}
	if m != nil && m.Workspaces[name].Network != nil {
		may = m.Workspaces[name].Network // as it is written by now
	}
	s := suggestion{Workspace: ws.Spec.Name, Rules: []spec.Rule{}, Peers: []string{}}
	rules, peers := denial.Missing(list, may)
	s.Rules = append(s.Rules, rules...)
	for _, peer := range peers {
		if m != nil && declared {
			if _, ok := m.Workspaces[peer]; ok {
				s.Peers = append(s.Peers, peer)
			}
		}
	}
	if m != nil && len(s.Rules)+len(s.Peers) > 0 {
		if after, ok := schema.Suggest(filepath.Base(src.name), src.data, name, s.Rules, s.Peers); ok {
			s.Diff = manifestDiff(src.name, src.data, after)
		}
	}
	if a.JSON {
		return a.PrintJSON(s)
	}
	return a.showSuggestion(ws, name, s)
}

// manifestDiff is a diff of a manifest as patch and git apply take it in this folder.
func manifestDiff(name string, before, after []byte) string {
	if folder, err := os.Getwd(); err == nil && filepath.IsAbs(name) {
		if below, err := filepath.Rel(folder, name); err == nil && filepath.IsLocal(below) {
			name = below
		}
	}
	if strings.ContainsAny(name, " \t") {
		name += "\t" // which ends it
	}
	_, hunks, _ := strings.Cut(string(diff.Diff("", before, "", after)), "\n@@ ")
	return fmt.Sprintf("--- %s\n+++ %s\n@@ %s", name, name, hunks)
}

// manifestOf is the manifest in view, when it is the one that declares a workspace.
func (a *app) manifestOf(ws driver.Workspace) (*schema.Manifest, source, error) {
	src, err := a.readManifest()
	if errors.Is(err, driver.ErrNotFound) && a.flags.file == "" {
		return nil, src, nil
	}
	if err != nil {
		return nil, src, err
	}
	m, _ := schema.Load(src.name, src.data, schema.Options{Outside: func(string) bool { return true }})
	if m == nil || ws.Spec.Project == "" || m.Project != ws.Spec.Project && a.flags.project != ws.Spec.Project {
		return nil, src, nil
	}
	return m, src, nil
}

func (a *app) showSuggestion(ws driver.Workspace, name string, s suggestion) error {
	if len(s.Rules)+len(s.Peers) == 0 {
		return a.Done(nil, "nothing was denied for want of a rule")
	}
	a.Say("the guest of %s chose these names: read them before you allow them", ws.Spec.Name)
	var b strings.Builder
	switch {
	case s.Diff != "":
		b.WriteString(s.Diff)
	case ws.Spec.Project == "":
		for _, r := range s.Rules {
			fmt.Fprintf(&b, "--allow-net %s\n", grantOf(r))
		}
	case len(s.Rules) > 0:
		fmt.Fprintf(&b, "# below workspaces.%s.network.allow\n", name)
		for _, r := range s.Rules {
			fmt.Fprintf(&b, "+- %s\n", schema.RuleLine(r))
		}
	}
	if len(s.Peers) > 0 && s.Diff == "" {
		fmt.Fprintf(&b, "# below workspaces.%s.network\n+peers: [%s]\n", name, strings.Join(s.Peers, ", "))
	}
	_, err := fmt.Fprint(a.Out, b.String())
	return err
}

// grantOf is a rule as a flag has it.
func grantOf(r spec.Rule) string {
	g := spec.Grant{Host: r.Host, CIDR: r.CIDR, Ports: r.Ports}
	if len(g.Ports) == 0 {
		g.Ports, g.UDP = r.UDP, true
	}
	if text := g.String(); len(r.Ports) > 0 && len(r.UDP) > 0 {
		udp := spec.Grant{Host: r.Host, CIDR: r.CIDR, Ports: r.UDP, UDP: true}
		return text + " --allow-net " + udp.String()
	}
	return g.String()
}
