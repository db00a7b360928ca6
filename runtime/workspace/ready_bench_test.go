package workspace

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"microagent/runtime/driver"
	wanted "microagent/schema/spec"
)

// quiet is how long nothing happens in a guest before it becomes ready, and lateQuiet in one that is late; idleTime is how
// long one is watched that is.
const (
	quiet     = 4 * time.Second
	lateQuiet = 45 * time.Second
	idleTime  = 20 * time.Second
)

// BenchmarkReady measures how long after it became true a probe is told, beside exec of true in the same guest: the time
// is the guest's own, by a clock that is compared with the host's.
func BenchmarkReady(b *testing.B) {
	for kind, c := range map[string]struct {
		after time.Duration
		act   string
		ready wanted.Ready
	}{
		"port":      {quiet, "exec nc -l -p 9000", wanted.Ready{Port: 9000}},
		"late-port": {lateQuiet, "exec nc -l -p 9000", wanted.Ready{Port: 9000}},
		"log":       {quiet, "echo up", wanted.Ready{Log: "up"}},
		"file":      {quiet, ": > /tmp/up", wanted.Ready{File: "/tmp/up"}},
		"exec":      {quiet, ": > /dev/up", wanted.Ready{Exec: []string{"cat", "/dev/up"}}}, // of this start: /dev is no file system that stays
	} {
		b.Run(kind, func(b *testing.B) {
			s := open(b, b.TempDir())
			w := script(kind, fmt.Sprintf("sleep %d; head -n 3 /proc/timer_list > /at; %s; exec sleep 1000", int(c.after/time.Second), c.act))
			c.ready.Interval, c.ready.Failures, c.ready.StartPeriod = time.Second, 3, 2*time.Minute
			w.Ready = &c.ready
			if _, err := s.Create(b.Context(), w, nil); err != nil {
				b.Fatal(err)
			}
			var late, round, times []float64
			for b.Loop() {
				if _, err := s.Start(b.Context(), kind, driver.StartOptions{}); err != nil {
					b.Fatal(err)
				}
				if _, err := s.AwaitReady(b.Context(), kind); err != nil {
					b.Fatal(err)
				}
				seen := time.Now()
				var trips []float64
				for range 9 {
					began := time.Now()
					say(b, s, kind, "true")
					trips = append(trips, time.Since(began).Seconds()*1000)
				}
				before := time.Now()
				there := sinceBoot(b, say(b, s, kind, "head -n 3 /proc/timer_list"))
				middle := before.Add(time.Since(before) / 2)
				became := middle.Add(sinceBoot(b, say(b, s, kind, "cat /at")) - there)
				late, round = append(late, seen.Sub(became).Seconds()*1000), append(round, median(trips))
				times = append(times, late[len(late)-1]/round[len(round)-1])
				b.Logf("seen %.1f ms after it became so, exec %.1f ms (%.1f)", late[len(late)-1], round[len(round)-1], trips)
				if _, err := s.Stop(b.Context(), kind, driver.StopOptions{Force: true}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(median(late), "seen-ms")
			b.ReportMetric(median(round), "exec-ms")
			b.ReportMetric(median(times), "seen/exec")
		})
	}
}

// BenchmarkIdleWatching measures what it costs to watch a guest that is ready and idles: the time on a processor of its
// VMM and its supervisor, less that of a guest beside it that is not watched. A command that is run each second is, under
// emulation, dear in itself: exec-static runs Debian's true of busybox-static, exec-dynamic that of coreutils, with its
// loader and C library. by-shell is watched by nobody: a shell in the guest runs what exec-static does.
func BenchmarkIdleWatching(b *testing.B) {
	s := open(b, b.TempDir())
	dynamic := debianImage(b, "/usr/bin/true")
	const idles = "nc -l -p 9000 & touch /tmp/up; exec sleep 100000"
	begin := func(name, text string, ready *wanted.Ready) {
		w := script(name, text)
		w.RootFS = dynamic
		if w.Ready = ready; ready != nil {
			ready.Interval, ready.Timeout = time.Second, 5*time.Second
			if ready.Failures == 0 {
				ready.Failures, ready.StartPeriod = 3, time.Minute
			}
		}
		if _, err := s.Create(b.Context(), w, nil); err != nil {
			b.Fatal(err)
		}
		if _, err := s.Start(b.Context(), name, driver.StartOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	begin("none", idles, nil)
	begin("by-shell", "busybox mkfifo /tmp/wait; exec 3<>/tmp/wait; while :; do read -t 1 line <&3; /bin/true; done", nil)
	begin("missing", "exec sleep 100000", &wanted.Ready{Port: 9001, Failures: 1000, StartPeriod: time.Hour})
	watched := map[string]*wanted.Ready{
		"port": {Port: 9000}, "file": {File: "/tmp/up"},
		"exec-static": {Exec: []string{"/bin/true"}}, "exec-dynamic": {Exec: []string{"/usr/bin/true"}},
	}
	for name, ready := range watched {
		begin(name, idles, ready)
		if _, err := s.AwaitReady(b.Context(), name); err != nil {
			b.Fatalf("%s: %v", name, err)
		}
	}
	names := append(slices.Collect(maps.Keys(watched)), "missing", "by-shell")
	time.Sleep(5 * time.Second) // what a boot leaves to do
	cost := map[string][]float64{}
	for b.Loop() {
		before := map[string]time.Duration{}
		for _, name := range append(names, "none") {
			before[name] = used(b, s, name)
		}
		time.Sleep(idleTime)
		none := used(b, s, "none") - before["none"]
		for _, name := range names {
			cost[name] = append(cost[name], 100*(used(b, s, name)-before[name]-none).Seconds()/idleTime.Seconds())
		}
		cost["none"] = append(cost["none"], 100*none.Seconds()/idleTime.Seconds())
	}
	for name, list := range cost {
		b.ReportMetric(median(list), name+"-%core")
	}
}

// debianImage is the key of an image that has a program of this host, with all that its loader wants.
func debianImage(b *testing.B, program string) string {
	b.Helper()
	out, err := exec.Command("ldd", program).Output()
	if err != nil {
		b.Fatalf("ldd %s: %v", program, err)
	}
	const key = "rootfs-v1-debian"
	if err := makeImage(filepath.Join(scratch, key), "debian\n", append(regexp.MustCompile(`/\S+`).FindAllString(string(out), -1), program)...); err != nil {
		b.Fatal(err)
	}
	return key
}

// script is the spec of a service that is a shell script.
func script(name, text string) driver.WorkspaceSpec {
	return spec(name, driver.Process{Mode: driver.ModeService, Argv: []string{"sh", "-c", text}})
}

// say gives what a script in a guest writes.
func say(b *testing.B, s *Store, name, script string) string {
	b.Helper()
	var out strings.Builder
	code, err := s.Exec(context.Background(), name, driver.ExecSpec{Argv: []string{"sh", "-c", script}}, driver.Streams{Stdout: &out})
	if err != nil || code != 0 {
		b.Fatalf("%s: code %d, %v", script, code, err)
	}
	return out.String()
}

// sinceBoot reads the kernel's time from the head of /proc/timer_list: /proc/uptime has hundredths of a second, which are more
// than a probe takes.
func sinceBoot(b *testing.B, text string) time.Duration {
	b.Helper()
	_, text, _ = strings.Cut(text, "now at ")
	word, _, _ := strings.Cut(text, " ")
	v, err := strconv.ParseInt(word, 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return time.Duration(v)
}

// processes are those of a workspace: its supervisor, the adapter and QEMU, by what they have used of a processor.
func processes(b *testing.B, s *Store, name string) map[int]time.Duration {
	b.Helper()
	folder := s.State.Workspace(name).Dir
	found := map[int]time.Duration{}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		cwd, err := os.Readlink(filepath.Join("/proc", e.Name(), "cwd"))
		if err != nil || cwd != folder && !strings.HasPrefix(cwd, folder+"/") {
			continue
		}
		// The first number is nanoseconds on a processor (Documentation/scheduler/sched-stats.rst), of each thread.
		tasks, _ := filepath.Glob(filepath.Join("/proc", e.Name(), "task/*/schedstat"))
		for _, task := range tasks {
			data, _ := os.ReadFile(task)
			if words := strings.Fields(string(data)); len(words) > 0 {
				n, _ := strconv.ParseInt(words[0], 10, 64)
				found[pid] += time.Duration(n)
			}
		}
	}
	return found
}

func used(b *testing.B, s *Store, name string) (sum time.Duration) {
	b.Helper()
	for _, d := range processes(b, s, name) {
		sum += d
	}
	return sum
}
