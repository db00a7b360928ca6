package testscripts

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"microagent/testscripts/lane"
)

// counting writes one number after another into a volume, and says so when it is on disk.
const counting = `project: soak
volumes: {log: {size: 32MiB}}
workspaces:
  writer:
    image: oci-archive:./image.tar
    memory: 128MiB
    disk: 64MiB
    restart: never
    mounts: {/data: {volume: log}}
    service: [sh, -c, "touch /data/log; i=$(wc -l < /data/log); while true; do i=$((i+1)); echo $i >> /data/log; sync; echo $i; sleep 0.1; done"]
`

// TestSoakGuest kills the command, the supervisor, the VMM or all of them while a guest writes: two rounds, 200 with TESTS=all.
func TestSoakGuest(t *testing.T) {
	s := newSoak(t)
	cleanup, err := buildGuest()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cleanup)
	if err := errors.Join(placeKernel(s.state), os.WriteFile(filepath.Join(s.dir, "microagent.yaml"), []byte(counting), 0o644)); err != nil {
		t.Fatal(err)
	}
	rounds, last := lane.Count(2, 200), 0
	killed := map[string]int{}
	for round := range rounds {
		if s.random.IntN(3) == 0 && !s.kill(4*time.Second, "apply", "--yes") {
			killed["command"]++
		}
		s.must([]string{"apply", "--yes"})
		s.until("the guest writes", func() bool { return s.said() > last })
		time.Sleep(time.Duration(s.random.IntN(500)) * time.Millisecond)
		what, all := s.killProcesses()
		killed[what]++
		s.until("all of it has ended", func() bool { return !slices.ContainsFunc(all, runs) && len(below(s.state)) == 0 })
		last = s.written(round, s.said())
		s.must([]string{"plan", "--detailed-exitcode"}, 2)
		if round%10 == 9 {
			t.Logf("%d rounds, killed %v, %d numbers whole", round+1, killed, last)
		}
	}
	t.Logf("%d rounds, killed %v, %d numbers whole", rounds, killed, last)
}

func (s *soak) until(what string, so func() bool) {
	s.t.Helper()
	for late := time.Now().Add(2 * time.Minute); !so(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(late) {
			s.t.Fatalf("%s: not within two minutes; there are %v", what, below(s.state))
		}
	}
}

// said is the last number that the guest said was on disk.
func (s *soak) said() int {
	s.t.Helper()
	lines := strings.Fields(s.must([]string{"logs", "writer"}))
	if len(lines) == 0 {
		return 0
	}
	n, err := strconv.Atoi(lines[len(lines)-1])
	if err != nil {
		s.t.Fatalf("the guest wrote %q", lines[len(lines)-1])
	}
	return n
}

// runs says that a process has not ended; one that is on its way has left its folder already.
func runs(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, ok := strings.Cut(string(stat), ") ")
	return err == nil && ok && !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

// killProcesses kills the supervisor, what it started, or both, and says which, with all that ran.
func (s *soak) killProcesses() (what string, all []int) {
	s.t.Helper()
	folder := filepath.Join(s.state, "workspaces", "soak.writer")
	var run struct {
		PID int `json:"pid"`
	}
	data, err := os.ReadFile(filepath.Join(folder, "run.json"))
	if err := errors.Join(err, json.Unmarshal(data, &run)); err != nil || run.PID == 0 {
		s.t.Fatalf("run.json: %v", err)
	}
	what = []string{"supervisor", "VMM", "all"}[s.random.IntN(3)]
	for pid, line := range below(folder) {
		all = append(all, pid)
		switch {
		case what == "supervisor" && pid != run.PID, what == "VMM" && !strings.Contains(line, "qemu-system") && !strings.Contains(line, "cloud-hypervisor"):
			continue
		}
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	return what, all
}

// written reads the numbers back: each one once, in their order, and none missing up to the last that was said to be there.
func (s *soak) written(round, said int) int {
	s.t.Helper()
	out := filepath.Join(s.dir, "log")
	defer os.Remove(out)
	s.must([]string{"cp", "soak.writer:/data/log", out})
	data, err := os.ReadFile(out)
	if err != nil {
		s.t.Fatal(err)
	}
	lines := strings.Fields(string(data))
	for i, line := range lines {
		if line != strconv.Itoa(i+1) {
			s.t.Fatalf("round %d: line %d is %q", round, i+1, line)
		}
	}
	if len(lines) < said {
		s.t.Fatalf("round %d: %d numbers are there, and the guest said %d", round, len(lines), said)
	}
	return len(lines)
}
