package advice

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestProse(t *testing.T) {
	root := t.TempDir()
	source := "package p\n\n" + `func f(name string) error {
	e := &Error{Err: "halt it", Next: "halt it"}
	e.Next = "to end it: microagent halt " + name
	next, other := "mend it, then apply", "apply"
	next = fmt.Sprintf("halt %s first", name)
	if e.Next = "halt or kill it: microagent halt " + name; next == "apply" {
		e.Next = "unapplied"
	}
	return p.fail("code", pos, "prune " + name, "why")
}
`
	if err := os.MkdirAll(filepath.Join(root, "plan"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "plan", "p.go"), []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	found, err := Prose(root, []string{"halt", "apply", "prune"})
	if err != nil {
		t.Fatal(err)
	}
	want := []Text{{"plan/p.go:4", "halt it"}, {"plan/p.go:6", "mend it, then apply"}, {"plan/p.go:7", "halt \x00 first"}, {"plan/p.go:11", "prune \x00"}}
	if !slices.Equal(found, want) {
		t.Errorf("found %q", found)
	}
	commands, err := Find(root, []string{"halt"})
	if err != nil || len(commands) != 2 {
		t.Errorf("%q, %v", commands, err)
	}
}
