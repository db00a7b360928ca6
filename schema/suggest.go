package schema

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"microagent/schema/spec"
)

// Suggest gives the manifest data of file with rules, and peers by name, allowed to a workspace, in the manifest's own style
// and with all that is there kept as it is. It is false where that can't be said: the workspace is not there, is an alias, or
// has keys without values where the rules belong.
func Suggest(file string, data []byte, workspace string, rules []spec.Rule, peers []string) ([]byte, bool) {
	var doc yaml.Node
	if yaml.Unmarshal(data, &doc) != nil || len(doc.Content) != 1 {
		return nil, false
	}
	ws := valueOf(valueOf(doc.Content[0], "workspaces"), workspace)
	e := newEditing(data)
	e.allow(ws, rules, peers)
	if e.failed {
		return nil, false
	}
	after := e.apply()
	// What comes of it must be what is meant.
	free := Options{Outside: func(string) bool { return true }}
	old, _ := Load(file, data, free)
	m, _ := Load(file, after, free)
	if old == nil || m == nil || !maps.Equal(merged(old, workspace, rules, peers), reach(m, workspace)) {
		return nil, false
	}
	return after, true
}

// reach is what a workspace may reach, each part of it by its place and words.
func reach(m *Manifest, workspace string) map[string]bool {
	all := map[string]bool{}
	n := m.Workspaces[workspace].Network
	if n == nil {
		return all
	}
	for _, r := range n.Allow {
		all["allow "+r.Name+" "+r.String()] = true
	}
	for _, r := range n.Deny {
		all["deny "+r.Name+" "+r.String()] = true
	}
	for _, p := range n.Peers {
		all["peer "+p.Name] = true
	}
	return all
}

func merged(m *Manifest, workspace string, rules []spec.Rule, peers []string) map[string]bool {
	all := reach(m, workspace)
	for _, r := range rules {
		all["allow "+r.Name+" "+r.String()] = true
	}
	for _, name := range peers {
		all["peer "+name] = true
	}
	return all
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
