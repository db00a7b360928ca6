package schema

import (
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"microagent/schema/spec"
)

// Insertion is lines that are missing in a manifest.
type Insertion struct {
	After int      // the line that they come after, from 1
	Lines []string // without their ends
}

// SuggestRules says where a manifest would allow rules to a workspace, in its own style and with all that is there kept as it
// is. It is false where that can't be said: the workspace is written in one line, by an alias, or not at all.
func SuggestRules(data []byte, workspace string, rules []spec.Rule) (Insertion, bool) {
	var doc yaml.Node
	if yaml.Unmarshal(data, &doc) != nil || len(doc.Content) != 1 {
		return Insertion{}, false
	}
	ws := blockAt(doc.Content[0], "workspaces", workspace)
	if ws == nil {
		return Insertion{}, false
	}
	at, ok := insertion(data, ws, rules)
	if !ok {
		return at, false
	}
	// What comes of it must be what is meant.
	m, _ := Load("", at.Apply(data), Options{Outside: func(string) bool { return true }})
	if m == nil || m.Workspaces[workspace].Network == nil {
		return at, false
	}
	for _, r := range rules {
		if !slices.ContainsFunc(m.Workspaces[workspace].Network.Allow, func(s spec.Rule) bool { return s.Name == r.Name && s.String() == r.String() }) {
			return at, false
		}
	}
	return at, true
}

func insertion(data []byte, ws *yaml.Node, rules []spec.Rule) (at Insertion, ok bool) {
	network := valueOf(ws, "network")
	switch {
	case network == nil:
		at.After, at.Lines = lastLine(ws), []string{indent(ws) + "network:", indent(ws) + "  allow:"}
		return at.add(indent(ws)+"    ", rules), true
	case network.Kind != yaml.MappingNode || network.Style&yaml.FlowStyle != 0 || len(network.Content) == 0:
		return at, false
	}
	allow := valueOf(network, "allow")
	if allow == nil {
		at.After, at.Lines = lastLine(network), []string{indent(network) + "allow:"}
		return at.add(indent(network)+"  ", rules), true
	}
	if allow.Kind != yaml.SequenceNode || allow.Style&yaml.FlowStyle != 0 || len(allow.Content) == 0 {
		return at, false
	}
	line := strings.Split(string(data), "\n")[allow.Content[0].Line-1]
	dash := strings.TrimLeft(line, " ")
	if !strings.HasPrefix(dash, "- ") {
		return at, false
	}
	at.After = lastLine(allow)
	return at.add(line[:len(line)-len(dash)], rules), true
}

func (at Insertion) add(indent string, rules []spec.Rule) Insertion {
	for _, r := range rules {
		at.Lines = append(at.Lines, indent+"- "+RuleLine(r))
	}
	return at
}

// RuleLine is a rule as a manifest has it, in one line.
func RuleLine(r spec.Rule) string {
	key, value, _ := strings.Cut(r.What(), " ")
	text := fmt.Sprintf("{name: %s, %s: %s", r.Name, key, value)
	if strings.HasSuffix(value, ":") || strings.Contains(value, "::") {
		text = fmt.Sprintf("{name: %s, %s: %q", r.Name, key, value)
	}
	ports := func(key string, list []spec.PortRange) {
		var texts []string
		for _, p := range list {
			texts = append(texts, p.String())
		}
		if len(texts) > 0 {
			text += ", " + key + ": [" + strings.Join(texts, ", ") + "]"
		}
	}
	if len(r.UDP) > 0 || !slices.Equal(r.Ports, []spec.PortRange{{First: 443, Last: 443}}) {
		ports("ports", r.Ports)
	}
	ports("udp", r.UDP)
	return text + "}"
}

// Apply gives data with the lines.
func (at Insertion) Apply(data []byte) []byte {
	lines := strings.Split(string(data), "\n")
	return []byte(strings.Join(slices.Concat(lines[:at.After], at.Lines, lines[at.After:]), "\n"))
}

// Diff is the insertion as a unified diff of a file, with three lines around it.
func (at Insertion) Diff(file string, data []byte) string {
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	from, to := max(at.After-3, 0), min(at.After+3, len(lines))
	var b strings.Builder
	fmt.Fprintf(&b, "--- %s\n+++ %s\n@@ -%d,%d +%d,%d @@\n", file, file, from+1, to-from, from+1, to-from+len(at.Lines))
	write := func(sign string, list []string) {
		for _, line := range list {
			b.WriteString(sign + line + "\n")
		}
	}
	write(" ", lines[from:at.After])
	write("+", at.Lines)
	write(" ", lines[at.After:to])
	return b.String()
}

// blockAt gives the block mapping at a path of keys, nil when one on the way is none.
func blockAt(n *yaml.Node, keys ...string) *yaml.Node {
	for _, key := range keys {
		if n = valueOf(n, key); n == nil || n.Kind != yaml.MappingNode || n.Style&yaml.FlowStyle != 0 || len(n.Content) == 0 {
			return nil
		}
	}
	return n
}

func valueOf(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// lastLine is the last line of n that has a value, from 1. A block of text ends where its lines do.
func lastLine(n *yaml.Node) int {
	last := n.Line
	if n.Kind == yaml.ScalarNode && n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		last += strings.Count(strings.TrimSuffix(n.Value, "\n"), "\n") + 1
	}
	for _, sub := range n.Content {
		last = max(last, lastLine(sub))
	}
	return last
}

// indent is what stands before the keys of a block mapping.
func indent(n *yaml.Node) string { return strings.Repeat(" ", n.Content[0].Column-1) }
