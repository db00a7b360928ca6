package rotate

import (
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestNothingIsLeftOfAWriteThatFailed: a file that may not grow takes half of a Write; that half is taken back, and what
// is written later stands behind what was whole.
func TestNothingIsLeftOfAWriteThatFailed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	w, err := CreateWithHead(path, 1<<20, func(int) []byte { return []byte("head ") })
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	signal.Ignore(unix.SIGXFSZ)
	defer signal.Reset(unix.SIGXFSZ)
	var free unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &free); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 100, Max: free.Max}); err != nil {
		t.Fatal(err)
	}
	_, first := w.Write([]byte("whole "))
	_, second := w.Write([]byte(strings.Repeat("x", 200)))
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &free); err != nil {
		t.Fatal(err)
	}
	if first != nil || second == nil {
		t.Fatalf("%v, %v", first, second)
	}
	if _, err := w.Write([]byte("later")); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "head whole later" {
		t.Errorf("%q, %v", data, err)
	}
}
