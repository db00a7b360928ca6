package workspace

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

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

// TestServerThatReadsNothingLeavesItsGuestAlive fills every connection that a small guest has.
func TestServerThatReadsNothingLeavesItsGuestAlive(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	const connections = 64
	one := spec("one", idle)
	one.Memory = connections * 2 * mib
	one.Ports = []driver.Port{{Guest: 8080, Auto: true}, {Guest: 8080, Auto: true}}
	create(t, s, one)
	run := start(t, s, "one")
	takeServer(t, s, "one")
	sh(t, s, "one", "/server deaf </dev/null >/dev/null 2>&1 &")
	awaitPorts(t, s, "one", 2)
	block := make([]byte, 256<<10)
	var fills sync.WaitGroup
	for i := range connections {
		conn, err := net.Dial("tcp", run.Ports[i%2].Where())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fills.Go(func() {
			for err := error(nil); !errors.Is(err, os.ErrDeadlineExceeded); { // until the way is full
				_ = conn.SetWriteDeadline(time.Now().Add(2 * time.Second))
				if _, err = conn.Write(block); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("connection %d: %v", i, err)
					return
				}
			}
		})
	}
	fills.Wait()
	if said := sh(t, s, "one", "grep -c . /proc/net/tcp; busybox pidof server"); len(strings.Fields(said)) != 2 {
		t.Errorf("the server was ended: %q", said)
	}
	if now, err := s.Ports(t.Context(), "one"); err != nil || !now[0].Listening {
		t.Error(now, err)
	}
}

// takeServer builds the server and takes it into the guest of a workspace.
func takeServer(t testing.TB, s *Store, name string) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "server")
	build := exec.Command("go", "build", "-o", program, "./testdata/server")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	f, err := os.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	take := driver.ExecSpec{Argv: []string{"sh", "-c", "cat > /server; busybox chmod 755 /server"}}
	if code, err := s.Exec(t.Context(), name, take, driver.Streams{Stdin: f}); err != nil || code != 0 {
		t.Fatal(code, err)
	}
}

// awaitPorts waits until so many of a workspace's ports listen.
func awaitPorts(t testing.TB, s *Store, name string, want int) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		ports, err := s.Ports(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		open := 0
		for _, p := range ports {
			if p.Listening {
				open++
			}
		}
		if open == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not all listen: %+v", ports)
		}
	}
}
