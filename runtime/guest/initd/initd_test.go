package initd

import (
	"os"
	"path/filepath"
	"testing"
)

func TestFileStaysWhenItHasContent(t *testing.T) {
	dir := t.TempDir()
	full, empty, missing := filepath.Join(dir, "full"), filepath.Join(dir, "empty"), filepath.Join(dir, "etc/missing")
	link := filepath.Join(dir, "link")
	for path, content := range map[string]string{full: "mine", empty: ""} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("nowhere", link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{full, empty, missing, link} {
		if err := (file{path, "ours"}).Do(); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{full: "mine", empty: "ours", missing: "ours"} {
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
	if target, err := os.Readlink(link); err != nil || target != "nowhere" {
		t.Errorf("the symlink became %q, %v", target, err)
	}
}

func TestEmptyRemovesATree(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "a/b"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a/b/c"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc", filepath.Join(dir, "l")); err != nil {
		t.Fatal(err)
	}
	if err := empty(dir); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}
