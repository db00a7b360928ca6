package guest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/guest/proto"
	"microagent/schema/spec"
)

// workspace boots a guest with a root, a volume and a read-only bundle, configured.
func workspace(t *testing.T) (*vm, *proto.Session, string) {
	t.Helper()
	tree := t.TempDir()
	if err := os.WriteFile(filepath.Join(tree, "hello.txt"), []byte("hi\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	volume := disk(t, "", "16m")
	if err := os.Truncate(volume, 64<<20); err != nil {
		t.Fatal(err)
	}
	v := start(t, vmDisk{serial: "m01", path: disk(t, tree, "8m"), readOnly: true},
		vmDisk{serial: "root", path: disk(t, rootTree(t), "64m")}, vmDisk{serial: "m00", path: volume})
	s := v.connect()
	err := s.Configure(t.Context(), proto.Config{
		Root: proto.Mount{Serial: "root", Path: "/"},
		Mounts: []proto.Mount{
			{Serial: "m00", Path: "/work", Owner: "worker:media", Mode: 0o750, Grow: true},
			{Serial: "m01", Path: "/data/config", ReadOnly: true},
		},
		Hostname: "box",
		Guest:    spec.Guest{Env: map[string]string{"A": "1", "B": "2"}, User: "worker", Workdir: "/srv/app"},
		Wall:     time.Date(2031, 1, 2, 3, 4, 5, 0, time.UTC),
		Seed:     bytes.Repeat([]byte{7}, 64),
	})
	if err != nil {
		t.Fatal(err)
	}
	return v, s, volume
}

func TestWorkspaceOnRealGuest(t *testing.T) {
	v, s, volume := workspace(t)
	t.Run("environment", func(t *testing.T) { testEnvironment(t, s) })
	t.Run("precedence", func(t *testing.T) { testPrecedence(t, s) })
	t.Run("mounts", func(t *testing.T) { testMounts(t, s) })
	t.Run("exec", func(t *testing.T) { testExec(t, s) })
	t.Run("signals", func(t *testing.T) { testSignals(t, s) })
	t.Run("terminal", func(t *testing.T) { testTerminal(t, s) })
	t.Run("bulk", func(t *testing.T) { testBulk(t, s) })
	t.Run("files", func(t *testing.T) { testFiles(t, s) })
	t.Run("configure again", func(t *testing.T) { testConfigureAgain(t, s) })
	t.Run("clock", func(t *testing.T) {
		if err := s.SetTime(t.Context(), time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)); err != nil {
			t.Fatal(err)
		}
		if _, out, _ := output(t, s, sh("date +%Y"), nil); out != "2040\n" {
			t.Errorf("year %q", out)
		}
	})
	t.Run("shutdown", func(t *testing.T) { testShutdown(t, v, s, volume) })
}

func testEnvironment(t *testing.T, s *proto.Session) {
	spec := sh("echo $A $B $C; pwd; id; hostname; date +%Y; echo $HOME; ulimit -n")
	spec.Command.Env = map[string]string{"B": "3", "C": "4"}
	_, out, _ := output(t, s, spec, nil)
	want := "1 3 4\n/srv/app\nuid=1000(worker) gid=1001(worker) groups=44(media),1001(worker)\nbox\n2031\n/home/worker\n1024\n"
	if out != want {
		t.Errorf("got %q\nwant %q", out, want)
	}
	for user, want := range map[string]string{
		"0":        "uid=0(root) gid=0(root) groups=0(root)",
		"4711":     "uid=4711 gid=0(root) groups=0(root)",
		"12:media": "uid=12 gid=44(media) groups=44(media)",
		"worker:9": "uid=1000(worker) gid=9 groups=9",
	} {
		if _, out, stderr := output(t, s, proto.ExecSpec{Command: proto.Command{Argv: []string{"id"}, User: user}}, nil); strings.TrimSpace(out) != want {
			t.Errorf("user %s: %q %q, want %q", user, out, stderr, want)
		}
	}
	_, out, _ = output(t, s, root("cat /etc/hosts /proc/self/cgroup; ls /dev/pts /dev/shm /sys/fs/cgroup >/dev/null && ls -d /run/service && cat /proc/1/comm; stat -c %a /tmp; ls /"), nil)
	for _, want := range []string{"127.0.0.1\tlocalhost", "box", "0::/", "/run/service", "init", "1777"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %q", want, out)
		}
	}
	if strings.Contains(out, "newroot") || strings.Contains(out, "modules") {
		t.Errorf("the initramfs left something: %q", out)
	}
}

// testPrecedence: each thread of the agent goes before what it starts, which has no precedence over anything.
func testPrecedence(t *testing.T, s *proto.Session) {
	_, out, _ := output(t, s, root("cat /proc/self/stat /proc/1/task/*/stat"), nil)
	for i, line := range strings.Split(strings.TrimSpace(out), "\n") {
		_, rest, _ := strings.Cut(line, ") ")
		fields := strings.Fields(rest) // from the third of proc(5) on
		want := "-11 3"
		if i == 0 {
			want = "0 0"
		}
		if got := fields[19-3] + " " + fields[41-3]; got != want {
			t.Errorf("nice and policy are %s, not %s: %s", got, want, line)
		}
	}
}

func root(script string) proto.ExecSpec {
	spec := sh(script)
	spec.Command.User = "0"
	return spec
}

func testMounts(t *testing.T, s *proto.Session) {
	_, out, _ := output(t, s, root("stat -c '%u %g %a' /work; cat /data/config/hello.txt; echo x > /data/config/y; df -m /work | tail -1"), nil)
	lines := strings.Split(out, "\n")
	if lines[0] != "1000 44 750" || lines[1] != "hi" {
		t.Errorf("mounts: %q", out)
	}
	var size int
	if _, err := fmt.Sscan(strings.Fields(lines[2])[1], &size); err != nil || size < 50 {
		t.Errorf("the volume was not grown from 16 to 64 MiB: %q", lines[2])
	}
	if n, err := s.Grow(t.Context(), "m00", 0); err != nil || n != 64<<20 {
		t.Errorf("grow what is grown: %d, %v", n, err)
	}
	if _, err := s.Grow(t.Context(), "m01", 0); !errors.Is(err, driver.ErrRefused) {
		t.Errorf("grow of a read-only disk: %v", err)
	}
	if _, err := s.Grow(t.Context(), "m77", 0); !errors.Is(err, driver.ErrNotFound) {
		t.Errorf("grow of no disk: %v", err)
	}
}

func testExec(t *testing.T, s *proto.Session) {
	for _, c := range []struct {
		argv   []string
		code   int
		signal int
		says   string
	}{
		{[]string{"true"}, 0, 0, ""},
		{[]string{"sh", "-c", "exit 77"}, 77, 0, ""},
		{[]string{"sh", "-c", "kill -9 $$"}, 137, 9, ""},
		{[]string{"nothing-here"}, 127, 0, "nothing-here: command not found"},
		{[]string{"/no/such"}, 127, 0, "/no/such: no such file or directory"},
		{[]string{"/etc/passwd"}, 126, 0, "/etc/passwd: permission denied"},
		{[]string{"/etc"}, 126, 0, "/etc: is a directory"},
	} {
		exit, _, stderr := output(t, s, proto.ExecSpec{Command: proto.Command{Argv: c.argv}}, nil)
		if exit.Code != c.code || exit.Signal != c.signal || exit.Message != c.says {
			t.Errorf("%q: %+v", c.argv, exit)
		}
		if c.says != "" && !strings.Contains(stderr, c.says) {
			t.Errorf("%q: stderr %q", c.argv, stderr)
		}
	}
	exit, _, _ := output(t, s, proto.ExecSpec{Command: proto.Command{Argv: []string{"id"}, User: "nobody-here"}}, nil)
	if exit.Code != 126 || !strings.Contains(exit.Message, "nobody-here") {
		t.Errorf("unknown user: %+v", exit)
	}
	spec := sh("sleep 60")
	spec.Timeout = 300 * time.Millisecond
	r, w := io.Pipe()
	defer w.Close()
	exit, _, _ = output(t, s, spec, r) // stdin stays open
	if !exit.TimedOut || exit.Code != 143 {
		t.Errorf("timeout: %+v", exit)
	}
	if exit, out, _ := output(t, s, sh("sleep 100 & echo gone"), nil); exit.Code != 0 || out != "gone\n" {
		t.Errorf("a child that holds the output: %+v %q", exit, out)
	}
}

func testSignals(t *testing.T, s *proto.Session) {
	var out lines
	p, err := s.Start(t.Context(), sh("trap 'echo got; exit 5' USR1; echo ready; while :; do sleep 0.05; done"), proto.Streams{Stdout: &out})
	if err != nil {
		t.Fatal(err)
	}
	out.wait(t, "ready")
	if err := p.Signal(t.Context(), "SIGUSR1"); err != nil {
		t.Fatal(err)
	}
	if exit, err := p.Wait(t.Context()); err != nil || exit.Code != 5 {
		t.Errorf("%+v, %v", exit, err)
	}
	out.wait(t, "got")
	if err := p.Signal(t.Context(), "NOSUCH"); !errors.Is(err, driver.ErrInvalid) {
		t.Errorf("unknown signal: %v", err)
	}
	if err := s.Signal(t.Context(), "TERM"); !errors.Is(err, driver.ErrNotFound) {
		t.Errorf("signal to no main process: %v", err)
	}
	// A host that closes the streams ends a process that writes.
	p, err = s.Start(t.Context(), proto.ExecSpec{ID: "yes", Command: proto.Command{Argv: []string{"yes"}}}, proto.Streams{Stdout: &failing{after: 1 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	if exit, err := p.Wait(t.Context()); err == nil || exit.Signal != 13 {
		t.Errorf("a writer that nobody reads: %+v, %v", exit, err)
	}
}

func testTerminal(t *testing.T, s *proto.Session) {
	var out lines
	in, keys := io.Pipe()
	spec := sh("echo start; read x; stty size; read x; stty size; echo $TERM; id -u; test -t 0 && echo tty; cat; exit 9")
	spec.Terminal, spec.Size = true, proto.WindowSize{Rows: 24, Columns: 80}
	p, err := s.Start(t.Context(), spec, proto.Streams{Stdin: in, Stdout: &out})
	if err != nil {
		t.Fatal(err)
	}
	out.wait(t, "start")
	fmt.Fprintln(keys)
	out.wait(t, "24 80")
	if err := p.Resize(t.Context(), proto.WindowSize{Rows: 50, Columns: 132}); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(keys)
	out.wait(t, "50 132")
	out.wait(t, "xterm")
	out.wait(t, "1000")
	out.wait(t, "tty")
	keys.Close() // end of file ends cat
	if exit, err := p.Wait(t.Context()); err != nil || exit.Code != 9 {
		t.Errorf("%+v, %v", exit, err)
	}
}

func testBulk(t *testing.T, s *proto.Session) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<18) // 4 MiB
	begin := time.Now()
	exit, out, _ := output(t, s, proto.ExecSpec{Command: proto.Command{Argv: []string{"cat"}}}, bytes.NewReader(data))
	if exit.Code != 0 || out != string(data) {
		t.Errorf("4 MiB through cat: %+v, %d bytes", exit, len(out))
	}
	t.Logf("4 MiB through cat: %v", time.Since(begin))
	// A slow reader slows its process down and nobody else.
	slow := &gate{open: make(chan struct{})}
	p, err := s.Start(t.Context(), sh("head -c 8000000 /dev/zero; echo done >&2"), proto.Streams{Stdout: slow})
	if err != nil {
		t.Fatal(err)
	}
	if _, out, _ := output(t, s, sh("echo quick"), nil); out != "quick\n" {
		t.Errorf("beside a slow reader: %q", out)
	}
	close(slow.open)
	if exit, err := p.Wait(t.Context()); err != nil || exit.Code != 0 || slow.n != 8000000 {
		t.Errorf("slow reader: %+v, %v, %d bytes", exit, err, slow.n)
	}
	var times []time.Duration
	for range 5 {
		begin := time.Now()
		output(t, s, proto.ExecSpec{Command: proto.Command{Argv: []string{"true"}}}, nil)
		times = append(times, time.Since(begin))
	}
	t.Logf("round trips of true: %v", times)
}

func testConfigureAgain(t *testing.T, s *proto.Session) {
	if err := s.Configure(t.Context(), proto.Config{Root: proto.Mount{Serial: "other", Path: "/"}}); !errors.Is(err, driver.ErrRefused) {
		t.Errorf("another configuration: %v", err)
	}
}

func testShutdown(t *testing.T, v *vm, s *proto.Session, volume string) {
	var out lines
	_, err := s.Start(t.Context(), root("trap 'echo bye > /work/bye; exit 0' TERM; echo x; while :; do sleep 0.05; done"), proto.Streams{Stdout: &out})
	if err != nil {
		t.Fatal(err)
	}
	out.wait(t, "x")
	stopped, err := s.Shutdown(t.Context(), 10*time.Second)
	if err != nil || stopped.Killed || len(stopped.Unclean) > 0 {
		t.Fatalf("shutdown: %+v, %v", stopped, err)
	}
	select {
	case <-v.exited:
	case <-time.After(30 * time.Second):
		t.Fatal("the guest did not power off")
	}
	if out, err := exec.Command("e2fsck", "-fn", volume).CombinedOutput(); err != nil {
		t.Errorf("the volume is not clean: %v\n%s", err, out)
	}
	wrote, err := exec.Command("debugfs", "-R", "cat /bye", volume).Output()
	if err != nil || string(wrote) != "bye\n" {
		t.Errorf("what the stopped process wrote: %q, %v", wrote, err)
	}
	select {
	case <-s.Done():
	case <-time.After(10 * time.Second):
		t.Error("the session did not end with the guest")
	}
	if err := s.Ping(context.Background()); !errors.Is(err, driver.ErrUnavailable) {
		t.Errorf("ping of a guest that is gone: %v", err)
	}
}
