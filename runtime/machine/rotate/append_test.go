package rotate

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// TestAppendersShareALog has several writers, each with descriptors of its own as processes have, turn a log at the
// same time: what is there is whole, in each writer's order, and the newest.
func TestAppendersShareALog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	const writers, lines, limit = 8, 200, 4 << 10
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range lines {
				if err := Append(path, limit, fmt.Appendf(nil, "%d %d\n", w, i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	last := map[int]int{}
	count := 0
	for s := bufio.NewScanner(r); s.Scan(); count++ {
		var w, i int
		if _, err := fmt.Sscanf(s.Text(), "%d %d", &w, &i); err != nil {
			t.Fatalf("a torn line: %q", s.Text())
		}
		if before, seen := last[w]; seen && i != before+1 {
			t.Errorf("writer %d: %d after %d", w, i, before)
		}
		last[w] = i
	}
	if count < limit/len("7 199\n") {
		t.Errorf("only %d lines are left", count)
	}
	for _, part := range []string{path, Old(path)} {
		if info, err := os.Stat(part); err != nil || info.Size() > limit || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", part, info, err)
		}
	}
}

// TestAppendAfterAKilledWriter begins a new line after half a one.
func TestAppendAfterAKilledWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("whole\nha"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Append(path, 100, []byte("next\n")); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if want := "whole\nha\nnext\n"; err != nil || string(got) != want {
		t.Errorf("%q, %v", got, err)
	}
}

// TestAppendLongerThanTheLimit makes a part of its own.
func TestAppendLongerThanTheLimit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	long := strings.Repeat("x", 100) + "\n"
	for _, line := range []string{"a\n", long, "b\n"} {
		if err := Append(path, 10, []byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	now, err := os.ReadFile(path)
	if err != nil || string(now) != "b\n" {
		t.Errorf("%q, %v", now, err)
	}
	if old, err := os.ReadFile(Old(path)); err != nil || string(old) != long {
		t.Errorf("%q, %v", old, err)
	}
}
