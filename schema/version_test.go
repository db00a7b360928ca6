package schema

import (
	"strings"
	"testing"
)

// A manifest may say that it is YAML 1.2, which changes no place in it; another version is refused, and a text that
// looks like the directive is one.
func TestVersionOfYAML(t *testing.T) {
	for text, want := range map[string]string{
		"%YAML 1.2\n---\nproject: p\n":                  "",
		"# first\n\n%YAML 1.2 # why\n---\nproject: p\n": "",
		"%YAML 1.2\r\n---\r\nproject: p\r\n":            "",
		"%YAML 1.1\n---\nproject: p\n":                  "",
		"%YAML 2.0\n---\nproject: p\n":                  "1:9",
		"%YAML 1.2\n---\nproject: p\nnone: 1\n":         "4:1",
		"{\"project\": \"a\\/b\"}":                      "and / without one",
	} {
		_, list := Load("m.yaml", []byte(text), Options{})
		var b strings.Builder
		if err := list.WriteText(&b, 0); err != nil {
			t.Fatal(err)
		}
		got := b.String()
		if (want == "") == list.Errors() || !strings.Contains(got, want) {
			t.Errorf("%q: %s", text, got)
		}
	}
	text := []byte("project: p # \n%YAML 1.2\n")
	if got := versioned(text); string(got) != string(text) {
		t.Errorf("%q became %q", text, got)
	}
}
