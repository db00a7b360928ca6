package initd

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestHostsBeginWithTheGuestItself(t *testing.T) {
	for _, c := range []struct{ name, image, want string }{
		{"db", "", "127.0.1.1\tdb\n127.0.0.1\tlocalhost\n::1\tlocalhost\n"},
		{"db.example.com", "10.0.0.1 x\n", "127.0.1.1\tdb.example.com\tdb\n10.0.0.1 x\n"},
		{"new", "::1\tlocalhost\n127.0.1.1\town\n", "127.0.1.1\tnew\n::1\tlocalhost\n"},
		{"new", "127.0.1.1\town\n::1\tlocalhost", "127.0.1.1\tnew\n::1\tlocalhost"},
		{"new", "127.0.1.1\towner\n127.0.1.1 own x\n", "127.0.1.1\tnew\n127.0.1.1\towner\n127.0.1.1 own x\n"},
	} {
		if got := hosts(c.name, "own", c.image); got != c.want {
			t.Errorf("%s over %q: %q, want %q", c.name, c.image, got, c.want)
		}
	}
}

// TestContentIsBounded: a guest may have left anything at the place of a file that process 1 reads.
func TestContentIsBounded(t *testing.T) {
	dir := t.TempDir()
	small, large, pipe := filepath.Join(dir, "small"), filepath.Join(dir, "large"), filepath.Join(dir, "pipe")
	for path, text := range map[string]string{small: "1.2.3.4 x\n", large: strings.Repeat("#", coveredSize+1)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{small: "1.2.3.4 x\n", large: "", pipe: "", dir: "", filepath.Join(dir, "none"): ""} {
		if got := content(path); got != want {
			t.Errorf("%s: %q", filepath.Base(path), got)
		}
	}
}
