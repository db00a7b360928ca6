package agent

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sent gives what a file's entry holds.
func sent(t *testing.T, path string) string {
	t.Helper()
	var out bytes.Buffer
	a := &archive{w: tar.NewWriter(&out), root: path, limit: 8 << 20, left: 8 << 20}
	if err := a.file(".", path); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if err := a.w.Close(); err != nil {
		t.Fatal(err)
	}
	r := tar.NewReader(&out)
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// What the kernel makes as it is read comes as cat would give it, whatever its size says.
func TestFilesOfTheKernel(t *testing.T) {
	for _, path := range []string{"/proc/version", "/proc/sys/kernel/ostype", "/proc/cpuinfo"} {
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := sent(t, path); len(got) < len(want)/2 || !strings.HasPrefix(got, string(want[:min(8, len(want))])) {
			t.Errorf("%s: %d bytes came of some %d", path, len(got), len(want))
		}
	}
	names, err := filepath.Glob("/sys/class/net/lo/mtu")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range names { // a page by its size
		if got := sent(t, path); got == "" || len(got) > 16 {
			t.Errorf("%s: %q", path, got)
		}
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := sent(t, empty); got != "" {
		t.Errorf("an empty file gave %q", got)
	}
}
