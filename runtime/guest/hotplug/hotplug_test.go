package hotplug

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestListsOfProcessors as the kernel writes them.
func TestListsOfProcessors(t *testing.T) {
	for list, want := range map[string]string{"0": "[0]", "0-2,5,7-8": "[0 1 2 5 7 8]"} {
		if got, err := List(list); err != nil || fmt.Sprint(got) != want {
			t.Errorf("%s: %v, %v", list, got, err)
		}
	}
	for _, bad := range []string{"", "x", "1-", "0,,1"} {
		if got, err := List(bad); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}

// tree is a kernel's directory with those files in it.
func tree(t *testing.T, files map[string]string) Tree {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return Tree(dir)
}

func (t Tree) says(file string) string {
	text, _ := os.ReadFile(filepath.Join(string(t), file))
	return strings.TrimSpace(string(text))
}

// TestWhatComesIsTakenIntoUse: a CPU and a block that are there and offline are taken into use; the first CPU has no switch.
func TestWhatComesIsTakenIntoUse(t *testing.T) {
	k := tree(t, map[string]string{
		"cpu/present": "0-1\n", "cpu/online": "0-1\n", "cpu/cpu1/online": "0\n",
		"memory/block_size_bytes": "8000000\n", "memory/memory0/state": "online\n", "memory/memory32/state": "offline\n",
	})
	if err := k.Online(t.Context(), 2, 256<<20); err != nil {
		t.Fatal(err)
	}
	if k.says("cpu/cpu1/online") != "1" || k.says("memory/memory32/state") != "online" || k.says("memory/memory0/state") != "online" {
		t.Errorf("CPU 1 %q, blocks %q %q", k.says("cpu/cpu1/online"), k.says("memory/memory0/state"), k.says("memory/memory32/state"))
	}
	if n, err := k.CPUs(); n != 2 || err != nil {
		t.Errorf("%d CPUs, %v", n, err)
	}
}

// TestWhatLeavesIsLeftAlone: while a CPU is there that is to go none is taken into use.
func TestWhatLeavesIsLeftAlone(t *testing.T) {
	k := tree(t, map[string]string{"cpu/present": "0-1\n", "cpu/online": "0\n", "cpu/cpu1/online": "0\n"})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := k.Online(ended, 1, 0); err == nil || !strings.Contains(err.Error(), "has 2 CPUs still, and is to have 1") {
		t.Errorf("got %v", err)
	}
	if k.says("cpu/cpu1/online") != "0" {
		t.Error("the CPU that leaves was taken into use")
	}
}

// TestWhatIsMissingIsSaid of a kernel that has not got it in time.
func TestWhatIsMissingIsSaid(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	one := map[string]string{"cpu/present": "0\n", "cpu/online": "0\n"}
	half := map[string]string{"cpu/present": "0\n", "cpu/online": "0\n", "memory/block_size_bytes": "8000000\n", "memory/memory0/state": "online\n"}
	for want, of := range map[string]struct {
		files  map[string]string
		cpus   int
		memory int64
	}{
		"its kernel uses 1 of 2 CPUs":                  {one, 2, 0},
		"its kernel takes no memory while it runs":     {one, 1, 256 << 20},
		"its kernel has 128 MiB of memory, of 256 MiB": {half, 1, 256 << 20},
	} {
		if err := tree(t, of.files).Online(ended, of.cpus, of.memory); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
