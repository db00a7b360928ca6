package filetime

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestSet(t *testing.T) {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := os.MkdirAll(filepath.Join(dir, "a/b"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a/f"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(outside)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "a/l")); err != nil {
		t.Fatal(err)
	}
	for _, when := range []time.Time{time.Unix(1e9, 5), time.Date(2300, 6, 1, 0, 0, 0, 7, time.UTC), time.Date(1902, 1, 1, 0, 0, 0, 0, time.UTC)} {
		for _, name := range []string{"a/f", "a/b", "a", ".", "a/l"} {
			if err := Set(root, name, when); err != nil {
				t.Fatal(err)
			}
			if st, err := root.Lstat(name); err != nil || !st.ModTime().Equal(when) {
				t.Errorf("%s: %v instead of %v, %v", name, st.ModTime(), when, err)
			}
		}
	}
	if err := Set(root, "../x", time.Unix(0, 0)); err == nil {
		t.Error("the root was left")
	}
	if after, err := os.Stat(outside); err != nil || !after.ModTime().Equal(before.ModTime()) {
		t.Errorf("a link was followed, %v", err)
	}
}
