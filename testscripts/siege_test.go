package testscripts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"microagent/runtime/layout"
	"microagent/schema/printable"
)

// Bounds of what a hostile guest costs its host, each less than twice what was measured. Memory is the most that a process
// ever had resident, as its kernel counts it; disk is what files of the state directory take, but for the guest's
// root file system, images and kernels.
const (
	mostSupervisor = 64 << 20
	mostAdapter    = 80 << 20
	mostCommand    = 96 << 20
	mostDisk       = 2 << 20
	mostLogs       = 80 << 20  // disk, with the logs of a task that writes without end
	mostJobLog     = 16 << 20  // disk, of a job that writes without end, besides
	mostSaid       = 512 << 10 // what a command writes to stderr, in bytes
)

// Beyond these a command hangs, however busy the host is. What ends a guest has four times what is promised of it.
const (
	hangs = 2 * time.Minute
	stops = 20 * time.Second
)

// siege is one hostile guest, from its image to its deletion, and what it cost.
type siege struct {
	t       *testing.T
	dir     string
	state   string
	payload string

	mu      sync.Mutex
	rows    []row
	peaks   map[string]int64 // memory, by role
	disk    int64
	most    int64     // of disk
	since   time.Time // when a guest was last started: what is older on a console was said by another
	watched chan struct{}
}

// row is one command: what it was, how it ended, how long it took, the memory that it had at most.
type row struct {
	what   string
	code   int
	took   time.Duration
	memory int64
}

// besiege makes a home for a guest of that kind: its image is hostile.tar, its kernel is there.
func besiege(t *testing.T, payload, kind string) *siege {
	t.Helper()
	dir := t.TempDir()
	l := &siege{t: t, dir: dir, state: filepath.Join(dir, "state"), payload: payload, peaks: map[string]int64{}, most: mostDisk, watched: make(chan struct{})}
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "root"), 0o755), os.MkdirAll(filepath.Join(dir, "home"), 0o755),
		os.WriteFile(filepath.Join(dir, "root/hostile"), []byte(kind), 0o644), placeKernel(l.state)); err != nil {
		t.Fatal(err)
	}
	make := exec.Command("mkimage", "-add", "root", "hostile.tar")
	make.Dir = dir
	if out, err := make.CombinedOutput(); err != nil {
		t.Fatalf("mkimage: %v\n%s", err, out)
	}
	over, done := context.WithCancel(context.Background())
	go func() {
		defer close(l.watched)
		for over.Err() == nil {
			l.look()
			select {
			case <-over.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	t.Cleanup(func() {
		done()
		<-l.watched
		killBelow(dir)
		l.report(kind)
	})
	return l
}

// look takes note of the memory of the processes that serve the guest, and of the disk that it takes beside its root file
// system, and the one that stays of a workspace that was deleted.
func (l *siege) look() {
	for pid, line := range below(l.state) {
		role := ""
		switch words := strings.Fields(line); {
		case len(words) > 1 && words[1] == "supervise":
			role = "supervisor"
		case len(words) > 1 && words[1] == "qemu-adapter":
			role = "adapter"
		}
		if n := highWater(pid); role != "" && n > 0 {
			l.mu.Lock()
			l.peaks[role] = max(l.peaks[role], n)
			l.mu.Unlock()
		}
	}
	sum := int64(0)
	_ = filepath.WalkDir(filepath.Join(l.state, "workspaces"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && d.Name() != layout.RootFSFile && d.Name() != layout.RootFSPrev {
			sum += max(allocated(path), 0)
		}
		return nil
	})
	l.mu.Lock()
	l.disk = max(l.disk, sum)
	l.mu.Unlock()
}

// highWater is the most memory that a process had resident, in bytes; 0 when it is gone.
func highWater(pid int) int64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	n, _ := strconv.ParseInt(fields[0], 10, 64)
	return n << 10
}

// watchMemory looks at a process's memory until peak is called, which gives the most of it.
func watchMemory(pid int) (peak func() int64) {
	over, most := make(chan struct{}), make(chan int64)
	go func() {
		for n := int64(0); ; n = max(n, highWater(pid)) {
			select {
			case <-over:
				most <- n
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}()
	return func() int64 { close(over); return <-most }
}

// bounded keeps the beginning of what is written, and counts all of it.
type bounded struct {
	mu    sync.Mutex
	kept  bytes.Buffer
	total int64
	more  func(total int64)
}

const keptOutput = 1 << 20

func (b *bounded) Write(p []byte) (int, error) {
	b.mu.Lock()
	b.total += int64(len(p))
	total := b.total
	b.kept.Write(p[:min(len(p), keptOutput-b.kept.Len())])
	b.mu.Unlock()
	if b.more != nil {
		b.more(total)
	}
	return len(p), nil
}

func (b *bounded) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.kept.String()
}

// said is what a command said.
type said struct{ stdout, stderr string }

// command is the program, in its folder.
func (l *siege) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "microagent", args...)
	cmd.Dir = l.dir
	cmd.Env = append(os.Environ(), "MICROAGENT_STATE_DIR="+l.state, "HOME="+filepath.Join(l.dir, "home"), "TERM=dumb", "LC_ALL=C.UTF-8",
		hostileFile+"="+l.payload)
	return cmd
}

// run runs a command that ends with one of the codes.
func (l *siege) run(codes string, args ...string) said {
	l.t.Helper()
	return l.finish(codes, nil, args)
}

// moment is when a command gets ^C: once it has written that many bytes to stdout, or once a text is on the console of
// the workspace's run.
type moment struct {
	bytes      int64
	name, text string
}

// interrupt is run for a command that gets ^C at that moment.
func (l *siege) interrupt(codes string, when moment, args ...string) said {
	l.t.Helper()
	return l.finish(codes, func(cmd *exec.Cmd, out *bounded) (started func()) {
		var once sync.Once
		press := func() { once.Do(func() { _ = cmd.Process.Signal(os.Interrupt) }) }
		if when.bytes > 0 {
			out.more = func(total int64) {
				if total >= when.bytes {
					press()
				}
			}
			return func() {}
		}
		return func() {
			go func() { <-l.hears(when.name, when.text); press() }()
		}
	}, args)
}

func (l *siege) finish(codes string, steer func(*exec.Cmd, *bounded) (started func()), args []string) said {
	l.t.Helper()
	limit := hangs
	if args[0] == "halt" || args[0] == "delete" {
		limit = stops
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := l.command(ctx, args...)
	var stdout, stderr bounded
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = 10 * time.Second
	started := func() {}
	if steer != nil {
		started = steer(cmd, &stdout)
	}
	start := time.Now()
	if args[0] == "start" || args[0] == "apply" {
		l.mu.Lock()
		l.since = start
		l.mu.Unlock()
	}
	if err := cmd.Start(); err != nil {
		l.t.Error(err)
		return said{}
	}
	started()
	memory := watchMemory(cmd.Process.Pid)
	_ = cmd.Wait()
	code := cmd.ProcessState.ExitCode()
	took := time.Since(start)
	peak := memory()
	line := strings.Join(args, " ")
	l.look()
	l.mu.Lock()
	if n := len(l.rows); n > 0 && l.rows[n-1].what == line && args[0] == "status" { // polled
		l.rows = l.rows[:n-1]
	}
	l.rows = append(l.rows, row{line, code, took, peak})
	l.mu.Unlock()
	s := said{stdout.String(), stderr.String()}
	if ctx.Err() != nil {
		l.t.Errorf("%s hangs\n%s", line, s.stderr)
	}
	if !strings.Contains(" "+codes+" ", fmt.Sprintf(" %d ", code)) {
		l.t.Errorf("%s: exit code %d, want %s\n%s", line, code, codes, s.stderr)
	}
	if peak > mostCommand {
		l.t.Errorf("%s took %d MiB of memory", line, peak>>20)
	}
	l.judge(line, s.stderr, stderr.total)
	if args[0] == "status" || args[0] == "list" {
		l.judge(line, s.stdout, stdout.total)
	}
	return s
}

// quoted begins a line of a guest's console in a message; there, tabs are as they are.
const quoted = "  | "

// judge: messages are printable lines of which none is the guest's.
func (l *siege) judge(command, text string, total int64) {
	l.t.Helper()
	if total > mostSaid {
		l.t.Errorf("%s said %d bytes", command, total)
	}
	for line := range strings.Lines(text) {
		line, whole := strings.CutSuffix(line, "\n")
		if !whole && total <= mostSaid {
			l.t.Errorf("%s: a line without an end: %q", command, line)
		}
		if safe := printable.Line(strings.TrimPrefix(line, quoted)); line != safe && line != quoted+printable.Text(strings.TrimPrefix(line, quoted)) {
			l.t.Errorf("%s: not printable: %q", command, line)
		}
		if strings.HasPrefix(line, "next: forged") || strings.HasPrefix(line, "error: forged") || strings.HasPrefix(line, "forged") {
			l.t.Errorf("%s: a line of the guest's own: %q", command, line)
		}
	}
}

// create makes the workspace one, which idles. Its guest reads from its root disk what it is to do, and has none yet where it is
// to become a template.
func (l *siege) create() {
	l.t.Helper()
	l.run("0", "create", "one", "--boot", "--image", "oci-archive:hostile.tar", "--memory", "128MiB", "--disk-size", "32MiB")
}

// end halts and deletes what there is, after which nothing is left.
func (l *siege) end() {
	l.t.Helper()
	l.run("0", "halt", "one", "--grace", "1s")
	l.gone("one")
}

// gone deletes a workspace, after which there is none, nor any process.
func (l *siege) gone(name string) {
	l.t.Helper()
	l.run("0", "delete", "--yes", name)
	if s := l.run("0", "list", "--json"); strings.TrimSpace(s.stdout) != "[]" {
		l.t.Errorf("left: %s", s.stdout)
	}
	if left := remaining(l.state); len(left) > 0 {
		l.t.Fatalf("processes are left: %v", left)
	}
}

// report prints what it cost, and holds that to the bounds.
func (l *siege) report(kind string) {
	l.t.Helper()
	for _, b := range []struct {
		what      string
		got, most int64
	}{{"the supervisor's memory", l.peaks["supervisor"], mostSupervisor}, {"the adapter's memory", l.peaks["adapter"], mostAdapter}, {"disk", l.disk, l.most}} {
		if b.got > b.most {
			l.t.Errorf("%s: %d MiB, at most %d are right", b.what, b.got>>20, b.most>>20)
		}
	}
	var table strings.Builder
	fmt.Fprintf(&table, "%s: supervisor %d MiB, adapter %d MiB, disk %.1f MiB\n", kind, l.peaks["supervisor"]>>20, l.peaks["adapter"]>>20, float64(l.disk)/(1<<20))
	for _, r := range l.rows {
		fmt.Fprintf(&table, "  %7.2f s  %4d MiB  %3d  %s\n", r.took.Seconds(), r.memory>>20, r.code, printable.Line(r.what))
	}
	l.t.Log(table.String())
}

// hostilePayload builds the hostile guest.
func hostilePayload(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := buildPayload(dir, "microagent/testscripts/hostileguest"); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "microagent-guest-"+runtime.GOARCH+".zst")
}

// hears is closed once a text is on the console of the workspace's run, which a hostile guest says what it does on.
func (l *siege) hears(name, text string) <-chan struct{} {
	seen := make(chan struct{})
	go func() {
		defer close(seen)
		for deadline := time.Now().Add(hangs); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			consoles, _ := filepath.Glob(filepath.Join(l.state, "workspaces", name, "*console*"))
			l.mu.Lock()
			since := l.since
			l.mu.Unlock()
			for _, file := range consoles {
				if info, err := os.Stat(file); err != nil || info.ModTime().Before(since) {
					continue
				}
				if said, _ := os.ReadFile(file); bytes.Contains(said, []byte(text)) {
					return
				}
			}
		}
	}()
	return seen
}

// background starts a command as run does, and gives what waits for its end.
func (l *siege) background(codes string, args ...string) (wait func() said) {
	ended := make(chan said, 1)
	begun := make(chan struct{})
	go func() {
		ended <- l.finish(codes, func(*exec.Cmd, *bounded) func() { return func() { close(begun) } }, args)
	}()
	select {
	case <-begun:
	case s := <-ended: // it could not be started
		ended <- s
	}
	return func() said { return <-ended }
}
