package schema

import (
	"testing"

	"microagent/schema/spec"
)

func TestSuggest(t *testing.T) {
	rules := []spec.Rule{
		{Name: "pypi-org", Host: "pypi.org", Ports: []spec.PortRange{{First: 443, Last: 443}}},
		{Name: "deb", Host: "deb.debian.org", Ports: []spec.PortRange{{First: 80, Last: 80}, {First: 443, Last: 443}}},
		{Name: "ntp", Host: "time.example.com", UDP: []spec.PortRange{{First: 123, Last: 123}}},
		{Name: "six", CIDR: "2001:db8::1/128", Ports: []spec.PortRange{{First: 443, Last: 443}}},
	}
	const (
		head = "project: p\nworkspaces:\n  other: {image: alpine}\n  w:\n    image: alpine # ours\n"
		tail = "  last:\n    image: alpine\n"
		flow = "{name: pypi-org, host: pypi.org}, {name: deb, host: deb.debian.org, ports: [80, 443]}, " +
			"{name: ntp, host: time.example.com, udp: [123]}, {name: six, cidr: \"2001:db8::1/128\"}"
	)
	lines := func(indent string) string {
		return indent + "- {name: pypi-org, host: pypi.org}\n" + indent + "- {name: deb, host: deb.debian.org, ports: [80, 443]}\n" +
			indent + "- {name: ntp, host: time.example.com, udp: [123]}\n" + indent + "- {name: six, cidr: \"2001:db8::1/128\"}\n"
	}
	for about, c := range map[string]struct{ before, want string }{
		"no network":              {"", "    network:\n      allow:\n" + lines("        ") + "      peers: [other]\n"},
		"a network":               {"    network:\n      deny: []\n", "    network:\n      deny: []\n      allow:\n" + lines("        ") + "      peers: [other]\n"},
		"rules":                   {"    network:\n      allow:\n      - {name: a, host: a.example}\n      peers: [last]\n    cpus: 2\n", "    network:\n      allow:\n      - {name: a, host: a.example}\n" + lines("      ") + "      peers: [last, other]\n    cpus: 2\n"},
		"rules of several lines":  {"    network:\n      peers:\n        - last\n      allow:\n        - name: a\n          host: a.example\n\n    # more\n", "    network:\n      peers:\n        - last\n        - other\n      allow:\n        - name: a\n          host: a.example\n" + lines("        ") + "\n    # more\n"},
		"text in a block":         {"    env:\n      A: |\n        one\n        two\n", "    env:\n      A: |\n        one\n        two\n    network:\n      allow:\n" + lines("        ") + "      peers: [other]\n"},
		"all in a line":           {"    network: {peers: [], allow: [{name: a, host: a.example, ports: [1, 2]}]} # [\n", "    network: {peers: [other], allow: [{name: a, host: a.example, ports: [1, 2]}, " + flow + "]} # [\n"},
		"an empty network":        {"    network: {}\n", "    network: {allow: [" + flow + "], peers: [other]}\n"},
		"a list of several lines": {"    network:\n      allow: [\n        {name: a, host: 'a.example'}, # the ] first\n      ]\n    cpus: 2\n", "    network:\n      allow: [\n        {name: a, host: 'a.example'}, " + flow + " # the ] first\n      ]\n      peers: [other]\n    cpus: 2\n"},
		"brackets in quotes":      {"    env: {A: \"]}\\\"\", B: 'it''s }'}\n    network: { deny: [ ] }\n", "    env: {A: \"]}\\\"\", B: 'it''s }'}\n    network: { deny: [ ], allow: [" + flow + "], peers: [other] }\n"},
	} {
		data := head + c.before + tail
		got, ok := Suggest("microagent.yaml", []byte(data), "w", rules, []string{"other"})
		if !ok || string(got) != head+c.want+tail {
			t.Errorf("%s: %t\n%s", about, ok, got)
		}
	}
	for about, c := range map[string]struct{ before, want string }{
		"a workspace in a line": {"project: p\nworkspaces: {other: {image: alpine}, 'w': {image: alpine, env: {A: 'ü'}}}\n",
			"project: p\nworkspaces: {other: {image: alpine}, 'w': {image: alpine, env: {A: 'ü'}, network: {allow: [" + flow + "], peers: [other]}}}\n"},
		"an end without a line's end": {"project: p\nworkspaces:\n  other: {image: alpine}\n  w:\n    image: alpine",
			"project: p\nworkspaces:\n  other: {image: alpine}\n  w:\n    image: alpine\n    network:\n      allow:\n" + lines("        ") + "      peers: [other]"},
	} {
		got, ok := Suggest("microagent.yaml", []byte(c.before), "w", rules, []string{"other"})
		if !ok || string(got) != c.want {
			t.Errorf("%s: %t\n%s", about, ok, got)
		}
	}
	for about, data := range map[string]string{
		"a key without a value": head + "    network:\n" + tail,
		"another":               "project: p\nworkspaces:\n  v:\n    image: alpine\n",
		"no manifest":           "{",
		"an alias":              "project: p\nworkspaces:\n  v: &v\n    image: alpine\n  w: *v\n",
		"a taken name":          head + "    network:\n      deny:\n        - {name: deb, host: a.example}\n",
	} {
		if got, ok := Suggest("microagent.yaml", []byte(data), "w", rules, nil); ok {
			t.Errorf("%s: %s", about, got)
		}
	}
	// An output into the manifest's own folder is as fine as it was before.
	with := "project: p\nworkspaces:\n  w:\n    image: alpine\n    task: [x]\noutputs:\n  o: {from: w, path: /x, to: ./out/x}\n"
	if _, ok := Suggest("microagent.yaml", []byte(with), "w", rules, nil); !ok {
		t.Error("a manifest with an output takes no rule")
	}
}
