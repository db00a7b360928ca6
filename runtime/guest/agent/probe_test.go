package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/guest/proto"
	"microagent/runtime/guest/proto/wire"
)

// TestProbeTellsOfItsCommand: of the first run, of each that failed with what it wrote, and of the next that passes.
func TestProbeTellsOfItsCommand(t *testing.T) {
	a, s := workspace(t)
	bad := filepath.Join(t.TempDir(), "bad")
	script := `why=$(cat "$0" 2>/dev/null) || exit 0; echo no answer; echo "$why" >&2; exit 7`
	probes, err := s.Probe(t.Context(), proto.Command{Argv: []string{"sh", "-c", script, bad}, Workdir: "/"}, time.Millisecond, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	next := func(want proto.Probed) {
		t.Helper()
		if got, err := probes.Next(); err != nil || got != want {
			t.Fatalf("%+v, %v; not %+v", got, err, want)
		}
	}
	fails := proto.Probed{Code: 7, Said: "no answer\nit is down\n"}
	next(proto.Probed{})
	for range 2 {
		if err := os.WriteFile(bad+".new", []byte("it is down\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(bad+".new", bad); err != nil {
			t.Fatal(err)
		}
		next(fails)
		next(fails)
		if err := os.Remove(bad); err != nil {
			t.Fatal(err)
		}
		for got := fails; got == fails; {
			if got, err = probes.Next(); err != nil || got != fails && got != (proto.Probed{}) {
				t.Fatalf("%+v, %v", got, err)
			}
		}
	}
	if err := probes.Close(); err != nil {
		t.Fatal(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.procs) != 0 {
		t.Errorf("the host knows %d processes of it by an id", len(a.procs))
	}
}

// TestProbeThatTakesTooLong has what its command had said by then, which on a busy machine can be nothing yet.
func TestProbeThatTakesTooLong(t *testing.T) {
	_, s := workspace(t)
	silent := proto.Probed{Code: 143, TimedOut: true}
	said := silent
	said.Said = "hm\n"
	for limit := 50 * time.Millisecond; ; limit *= 2 {
		probes, err := s.Probe(t.Context(), proto.Command{Argv: []string{"sh", "-c", "echo hm; exec sleep 1000"}, Workdir: "/"}, time.Hour, limit)
		if err != nil {
			t.Fatal(err)
		}
		got, err := probes.Next()
		probes.Close()
		if got == said && err == nil {
			return
		}
		if err != nil || got != silent || limit > time.Minute {
			t.Fatalf("within %s: %+v, %v", limit, got, err)
		}
	}
}

// TestProbeThatCanNotBe says why: a command that is missing or can't be run, a guest that is not configured.
func TestProbeThatCanNotBe(t *testing.T) {
	_, s := workspace(t)
	for name, c := range map[string]struct {
		argv []string
		want proto.Probed
	}{
		"missing":     {[]string{"nosuch"}, proto.Probed{Code: 127, Said: "microagent: nosuch: command not found\n"}},
		"no program":  {[]string{"/"}, proto.Probed{Code: 126, Said: "microagent: /: is a directory\n"}},
		"much to say": {[]string{"sh", "-c", "seq 100000; exit 3"}, proto.Probed{Code: 3, Said: lastOf(100000)}},
	} {
		probes, err := s.Probe(t.Context(), proto.Command{Argv: c.argv, Workdir: "/"}, time.Hour, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := probes.Next(); err != nil || got != c.want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		probes.Close()
	}
	if _, err := s.Probe(t.Context(), proto.Command{Argv: []string{strings.Repeat("x", proto.MaxRequest)}}, time.Hour, 0); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("a command that is too large: %v", err)
	}
	_, dial := serve(t, still{})
	fresh, err := proto.Connect(t.Context(), dial)
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.Close()
	probes, err := fresh.Probe(t.Context(), proto.Command{Argv: []string{"true"}}, time.Hour, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer probes.Close()
	if _, err := probes.Next(); !errors.Is(err, driver.ErrRefused) {
		t.Errorf("before it was configured: %v", err)
	}
}

// lastOf is the end of the numbers to n, each on a line.
func lastOf(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintln(&b, i+1)
	}
	return b.String()[b.Len()-proto.MaxSaid:]
}

// TestProbesRunOneAtATime at each interval, one that takes longer is followed at once by the next, and what passes time after
// time is told once.
func TestProbesRunOneAtATime(t *testing.T) {
	for name, c := range map[string]struct {
		takes time.Duration
		codes []int32
		want  string
	}{
		"passes":     {0, []int32{0, 0, 0, 0}, "0@0s"},
		"fails":      {0, []int32{1, 1, 0, 0, 2, 0, 0}, "1@0s 1@1s 0@2s 2@4s 0@5s"},
		"takes long": {1500 * time.Millisecond, []int32{1, 1, 1, 1}, "1@1.5s 1@3s 1@4.5s 1@6s"},
	} {
		synctest.Test(t, func(t *testing.T) {
			began, gone := time.Now(), make(chan struct{})
			var told []string
			err := probeEach(t.Context(), gone, time.Second, func() (*wire.ProbeResult, error) {
				if len(c.codes) == 0 {
					close(gone)
					return nil, nil
				}
				time.Sleep(c.takes)
				r := &wire.ProbeResult{Code: c.codes[0]}
				c.codes = c.codes[1:]
				return r, nil
			}, func(r *wire.ProbeResult) error {
				told = append(told, fmt.Sprintf("%d@%s", r.Code, time.Since(began)))
				return nil
			})
			if got := strings.Join(told, " "); got != c.want || err != nil {
				t.Errorf("%s: %s, %v; not %s", name, got, err, c.want)
			}
		})
	}
}
