package testscripts

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"microagent/testscripts/lane"
)

// looking is what a copy says of itself, a line each: the digest of its init, which was in memory when it was saved; when that was
// started, which tells copies of one guest from others; whether what it writes to memory of its own stays; what others had
// written to the volume. The rest is random.
const looking = `sha256sum < /proc/1/exe
dmesg | grep -m1 'Run /init'
head -c 4194304 /dev/urandom > /dev/shm/own; was=$(sha256sum < /dev/shm/own); echo 3 > /proc/sys/vm/drop_caches
[ "$was" = "$(sha256sum < /dev/shm/own)" ] && echo stays
wc -l < /data/rounds; echo $ROUND >> /data/rounds
head -c 4096 /dev/urandom | sha256sum
od -An -v -tx1 -N16 /dev/urandom
cat /proc/sys/kernel/random/uuid
cat /proc/sys/kernel/random/boot_id`

// looked is how many of those lines come before the random ones.
const looked = 4

// TestSoakCopies starts guests from one template, one after another: two, 500 with TESTS=all. None has lost a page, none has random
// bytes that another had, none leaves a process, and the template stays what it was.
func TestSoakCopies(t *testing.T) {
	s := newSoak(t)
	cleanup, err := buildGuest()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cleanup)
	if err := placeKernel(s.state); err != nil {
		t.Fatal(err)
	}
	s.must([]string{"volume", "create", "data", "--size", "16MiB"})
	s.must([]string{"run", "-v", "data:/data", "oci-archive:./image.tar", "--", "sh", "-c", "> /data/rounds"})
	template, random, first := s.templates(), map[string]int{}, []string(nil)
	if template == "" {
		t.Skip("no guest is saved here")
	}
	rounds := lane.Count(2, 500)
	for round := range rounds {
		out := s.must([]string{"run", "-v", "data:/data", "-e", fmt.Sprint("ROUND=", round), "oci-archive:./image.tar", "--", "sh", "-c", looking})
		lines := strings.Split(strings.TrimSpace(out), "\n")
		if len(lines) != looked+4 || lines[2] != "stays" || lines[3] != fmt.Sprint(round) {
			t.Fatalf("round %d: it says\n%s", round, out)
		}
		if first == nil {
			first = lines
		}
		if !slices.Equal(lines[:2], first[:2]) {
			t.Fatalf("round %d: it is no copy of what the first was, or lost a page of it:\n%s\nthe first:\n%s", round, out, strings.Join(first, "\n"))
		}
		for _, line := range lines[looked:] {
			if before, there := random[line]; there {
				t.Fatalf("round %d: it has %s in common with round %d", round, line, before)
			}
			random[line] = round
		}
		if left := remaining(s.state); len(left) > 0 {
			t.Fatalf("round %d: it left %v", round, left)
		}
		if round%50 == 49 || round == rounds-1 {
			if now := s.templates(); now != template {
				t.Fatalf("round %d: the template was\n%s, and is\n%s", round, template, now)
			}
			t.Logf("%d copies, %d random lines", round+1, len(random))
		}
	}
	if left, err := os.ReadDir(filepath.Join(s.state, "workspaces")); err != nil || len(left) > 0 {
		t.Errorf("workspaces are left: %v, %v", left, err)
	}
}

// templates has a line for each file of each template, with its digest; "" when there is none.
func (s *soak) templates() string {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(s.state, "templates", "*", "*"))
	if err != nil {
		s.t.Fatal(err)
	}
	var b strings.Builder
	for _, path := range files {
		f, err := os.Open(path)
		if err != nil {
			s.t.Fatal(err)
		}
		h := sha256.New()
		_, err = io.Copy(h, f)
		f.Close()
		if err != nil {
			s.t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s %x\n", path, h.Sum(nil))
	}
	return b.String()
}
