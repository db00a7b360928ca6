package workspace

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"microagent/runtime/driver"
)

// TestPortsNeedNoProcessAndNoModule counts in one run before it has ports, with them, and after. What it counts it would
// see: a process of the guest's own shows.
func TestPortsNeedNoProcessAndNoModule(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	create(t, s, spec("one", idle))
	run := start(t, s, "one")
	bare := counted(t, s, run.PID)
	if !strings.Contains(bare, "child ") {
		t.Errorf("no VMM is seen:\n%s", bare)
	}
	if err := s.Publish(t.Context(), "one", []driver.Port{{Guest: 80, Auto: true}}); err != nil {
		t.Fatal(err)
	}
	if states, err := s.Ports(t.Context(), "one"); err != nil || len(states) != 1 {
		t.Fatal(states, err)
	}
	if now := counted(t, s, run.PID); now != bare {
		t.Errorf("with a port:\n%s\nwithout:\n%s", now, bare)
	}
	sh(t, s, "one", "sleep 1000 </dev/null >/dev/null 2>&1 &")
	if now := counted(t, s, run.PID); now == bare {
		t.Errorf("one more process is not seen:\n%s", now)
	}
}

// counted says which modules and processes a guest has, and which children its supervisor.
func counted(t *testing.T, s *Store, supervisor int) string {
	t.Helper()
	guest := sh(t, s, "one", `while read m rest; do echo module $m; done < /proc/modules
for p in /proc/[0-9]*; do
	read pid name state parent rest < $p/stat 2>/dev/null || continue
	[ $parent = 0 -o $parent = 2 -o $pid = $$ ] || echo process $name
done`)
	lines := strings.Split(strings.TrimSpace(guest), "\n")
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		name, rest, _ := strings.Cut(string(data), ") ")
		if strings.Fields(rest)[1] == fmt.Sprint(supervisor) {
			_, name, _ = strings.Cut(name, "(")
			lines = append(lines, "child "+name)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
