package schema

import (
	"strings"
	"testing"

	"microagent/schema/spec"
)

func TestSuggestRules(t *testing.T) {
	rules := []spec.Rule{
		{Name: "pypi-org", Host: "pypi.org", Ports: []spec.PortRange{{First: 443, Last: 443}}},
		{Name: "deb", Host: "deb.debian.org", Ports: []spec.PortRange{{First: 80, Last: 80}, {First: 443, Last: 443}}},
		{Name: "ntp", Host: "time.example.com", UDP: []spec.PortRange{{First: 123, Last: 123}}},
		{Name: "six", CIDR: "2001:db8::1/128", Ports: []spec.PortRange{{First: 443, Last: 443}}},
	}
	head := "project: p\nworkspaces:\n  other: {image: alpine}\n  w:\n    image: alpine # ours\n"
	tail := "  last:\n    image: alpine\n"
	lines := func(indent string) string {
		return indent + "- {name: pypi-org, host: pypi.org}\n" + indent + "- {name: deb, host: deb.debian.org, ports: [80, 443]}\n" +
			indent + "- {name: ntp, host: time.example.com, udp: [123]}\n" + indent + "- {name: six, cidr: \"2001:db8::1/128\"}\n"
	}
	for about, c := range map[string]struct{ before, want string }{
		"no network":             {"", "    network:\n      allow:\n" + lines("        ")},
		"a network":              {"    network:\n      peers: []\n", "    network:\n      peers: []\n      allow:\n" + lines("        ")},
		"rules":                  {"    network:\n      allow:\n      - {name: a, host: a.example}\n      deny: []\n    cpus: 2\n", "    network:\n      allow:\n      - {name: a, host: a.example}\n" + lines("      ") + "      deny: []\n    cpus: 2\n"},
		"rules of several lines": {"    network:\n      allow:\n        - name: a\n          host: a.example\n\n    # more\n", "    network:\n      allow:\n        - name: a\n          host: a.example\n" + lines("        ") + "\n    # more\n"},
		"text in a block":        {"    env:\n      A: |\n        one\n        two\n", "    env:\n      A: |\n        one\n        two\n    network:\n      allow:\n" + lines("        ")},
	} {
		data := head + c.before + tail
		at, ok := SuggestRules([]byte(data), "w", rules)
		if got := string(at.Apply([]byte(data))); !ok || got != head+c.want+tail {
			t.Errorf("%s: %t\n%s", about, ok, got)
		}
		diff := at.Diff("microagent.yaml", []byte(data))
		if !strings.HasPrefix(diff, "--- microagent.yaml\n+++ microagent.yaml\n@@ -") || strings.Count(diff, "\n+") < 4 {
			t.Errorf("%s: %s", about, diff)
		}
	}
	for about, data := range map[string]string{
		"in one line":      "project: p\nworkspaces:\n  w: {image: alpine}\n",
		"rules in a line":  head + "    network: {allow: [{name: a, host: a.example}]}\n",
		"an empty network": head + "    network:\n" + tail,
		"another":          "project: p\nworkspaces:\n  v:\n    image: alpine\n",
		"no manifest":      "{",
		"an alias":         "project: p\nworkspaces:\n  v: &v\n    image: alpine\n  w: *v\n",
		"a taken name":     head + "    network:\n      deny:\n        - {name: deb, host: a.example}\n",
	} {
		if at, ok := SuggestRules([]byte(data), "w", rules); ok {
			t.Errorf("%s: %+v", about, at)
		}
	}
}
