package workspace

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"microagent/runtime/driver"
	"microagent/runtime/drivertest"
)

// TestCopies has guests of either VMM be copies of others.
func TestCopies(t *testing.T) {
	t.Parallel()
	drivertest.Copies(t, func(t *testing.T) drivertest.CopiesUnder {
		s := open(t, t.TempDir())
		saved := func(t *testing.T, name string) string {
			t.Helper()
			found, err := filepath.Glob(filepath.Join(s.State.Templates(), "*", name))
			if err != nil || len(found) != 1 {
				t.Fatalf("templates %q, %v", found, err)
			}
			return found[0]
		}
		return drivertest.CopiesUnder{
			WorkspacesUnder: drivertest.WorkspacesUnder{
				Workspaces: s,
				Spec:       func(_ *testing.T, name string) driver.WorkspaceSpec { return spec(name, idle) },
			},
			Template: func(t *testing.T) string { return filepath.Dir(saved(t, "template.json")) },
			Foreign: map[string]func(*testing.T){
				"CPU":   func(t *testing.T) { rewrite(t, saved, `("host":"|"processor": ")`, `${1}another`) },
				"clock": func(t *testing.T) { rewrite(t, saved, `("khz": ?)`, `${1}1`) },
			},
		}
	})
}

// rewrite changes what a template says of its host; each VMM's does so in a file of its own.
func rewrite(t *testing.T, saved func(*testing.T, string) string, pattern, replacement string) {
	t.Helper()
	changed := false
	for _, file := range []string{"state.json", "template.json"} {
		path := saved(t, file)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		other := regexp.MustCompile(pattern).ReplaceAll(data, []byte(replacement))
		changed = changed || !bytes.Equal(other, data)
		if err := os.WriteFile(path, other, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if !changed {
		t.Errorf("no template says %s", pattern)
	}
}
