package schema

import (
	"fmt"
	"strings"
	"testing"

	"microagent/schema/spec"
)

// TestHostnameIsOneRule: a manifest takes the host names that a flag takes.
func TestHostnameIsOneRule(t *testing.T) {
	label := strings.Repeat("a", 63)
	for name, want := range map[string]bool{
		"db": true, "DB-1": true, "7": true, "a.b.c": true, label: true, label + "a": false, strings.Repeat("a", 31) + "." + strings.Repeat("b", 32): true,
		strings.Repeat("a", 32) + "." + strings.Repeat("b", 32): false, "": false, ".": false, "a.": false, ".a": false, "a..b": false,
		"-a": false, "a-": false, "a.-b": false, "a_b": false, "a b": false, "ä": false, "a\n": false, "a\nb": false, "a:b": false,
	} {
		if got := spec.ValidHostname(name); got != want {
			t.Errorf("%q as a flag: %v", name, got)
		}
		m, list := Load("m.yaml", fmt.Appendf(nil, "project: p\nworkspaces: {x: {image: i, hostname: %q}}\n", name), Options{})
		if (m != nil) != want {
			t.Errorf("%q in a manifest: %v", name, list.Err())
		}
		if m != nil && m.Workspaces["x"].Hostname != name {
			t.Errorf("%q became %q", name, m.Workspaces["x"].Hostname)
		}
		var text strings.Builder
		if err := list.WriteText(&text, 0); err != nil {
			t.Fatal(err)
		}
		if !want && !strings.Contains(text.String(), "write "+spec.WantHostname) {
			t.Errorf("%q: what to write is not said: %s", name, text.String())
		}
	}
}
