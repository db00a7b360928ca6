package confine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// trial names the folder in which the test binary, started confined, does what try does.
const trial = "MICROAGENT_TEST_CONFINED"

func TestMain(m *testing.M) {
	if dir := os.Getenv(trial); dir != "" {
		try(dir)
		os.Exit(0)
	}
	if path := os.Getenv(trialSockets); path != "" {
		tryByIP(path)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// try prints "what: how it ended" for each thing that a confined program may want to do.
func try(dir string) {
	say := func(what string, err error) { fmt.Printf("%s: %s\n", what, reason(err)) }
	read := func(name string) error { _, err := os.ReadFile(filepath.Join(dir, name)); return err }
	say("read allowed", read("allowed"))
	say("read secret", read("secret"))
	say("write allowed", os.WriteFile(filepath.Join(dir, "allowed"), nil, 0))
	say("list", func() error { _, err := os.ReadDir(dir); return err }())
	l, err := net.Listen("unix", filepath.Join(dir, "sockets", "a"))
	say("bind", err)
	if err == nil {
		say("unlink", l.Close())
	}
	say("make file", os.WriteFile(filepath.Join(dir, "sockets", "b"), nil, 0o600))
	say("make folder", os.Mkdir(filepath.Join(dir, "sockets", "c"), 0o700))
	var plain net.ListenConfig
	plain.SetMultipathTCP(false) // landlock knows TCP alone
	_, err = plain.Listen(context.Background(), "tcp", "127.0.0.1:0")
	say("port", err)
	say("execute", exec.Command(filepath.Join(dir, "program")).Run())
	_, err = os.NewFile(3, "inherited").Write([]byte("x"))
	say("write inherited", err)
	// In a container root may lack this itself.
	say("mount", unix.Mount("none", dir, "tmpfs", 0, ""))
}

func reason(err error) string {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno.Error()
	}
	if err != nil {
		return err.Error()
	}
	return "ok"
}

// statusOf reads the fields of a status file of /proc.
func statusOf(t *testing.T, path string) map[string]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fields := map[string]string{}
	for s := bufio.NewScanner(f); s.Scan(); {
		name, value, _ := strings.Cut(s.Text(), ":")
		fields[name] = strings.TrimSpace(value)
	}
	return fields
}

const none = "0000000000000000"

// confined runs f on a thread that is confined, and gives what /proc says of it.
func confined(t *testing.T, rules []Rule, f func() error) map[string]string {
	t.Helper()
	thread, done := make(chan int), make(chan error)
	looked := make(chan struct{})
	go Run(rules, func(err error) {
		if err != nil {
			close(thread)
			done <- err
			return
		}
		thread <- unix.Gettid()
		<-looked // by another thread: this one may not
		done <- f()
	})
	var status map[string]string
	if id, ok := <-thread; ok {
		status = statusOf(t, fmt.Sprintf("/proc/self/task/%d/status", id))
		close(looked)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return status
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"allowed", "secret"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "program"), []byte("#!/bin/true\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "sockets"), 0o700); err != nil {
		t.Fatal(err)
	}
	inherited, err := os.OpenFile(filepath.Join(dir, "secret"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer inherited.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	rules := []Rule{
		{filepath.Join(dir, "allowed"), Read}, {filepath.Join(dir, "sockets"), Serve}, {filepath.Join(dir, "not there"), Read},
		{self, Execute}, {"/lib", Execute}, {"/lib64", Execute}, {"/usr/lib", Execute}, {"/etc/ld.so.cache", Read}, {"/dev/null", Device},
	}
	before := statusOf(t, "/proc/self/task/"+fmt.Sprint(os.Getpid())+"/status")
	var out []byte
	status := confined(t, rules, func() (err error) {
		c := exec.Command(self)
		c.Env = append(os.Environ(), trial+"="+dir)
		c.ExtraFiles = []*os.File{inherited}
		out, err = c.Output()
		return err
	})
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapAmb", "CapBnd"} {
		if set == "CapBnd" && before["CapEff"] == none {
			continue // the bounding set can't be dropped by who has nothing
		}
		if status[set] != none {
			t.Errorf("%s is %q", set, status[set])
		}
	}
	if status["NoNewPrivs"] != "1" {
		t.Error("no_new_privs is not set")
	}
	if after := statusOf(t, "/proc/self/task/"+fmt.Sprint(os.Getpid())+"/status"); after["CapEff"] != before["CapEff"] || after["NoNewPrivs"] != before["NoNewPrivs"] {
		t.Errorf("the rest of the process lost something too: %v, then %v", before["CapEff"], after["CapEff"])
	}

	const denied, unprivileged = "permission denied", "operation not permitted"
	want := map[string]string{
		"read allowed": "ok", "bind": "ok", "unlink": "ok", "write inherited": "ok", "mount": unprivileged,
		"read secret": denied, "write allowed": denied, "list": denied, "make file": denied, "make folder": denied, "execute": denied, "port": denied,
	}
	version := LandlockVersion()
	t.Logf("the kernel's landlock has version %d", version)
	if version == 0 {
		for _, what := range []string{"read secret", "write allowed", "list", "make file", "make folder", "execute"} {
			want[what] = "ok"
		}
	}
	if version < 4 {
		want["port"] = "ok" // no rule for ports yet
	}
	for line := range strings.Lines(string(out)) {
		what, got, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if got != want[what] {
			t.Errorf("%s: %q, want %q", what, got, want[what])
		}
		delete(want, what)
	}
	if len(want) > 0 {
		t.Errorf("was not tried: %v\n%s", want, out)
	}
}

// TestNothingComesBack executes a program that gives root everything, or by its file some capability.
func TestNothingComesBack(t *testing.T) {
	var out []byte
	confined(t, nil, func() (err error) {
		out, err = exec.Command("cat", "/proc/self/status").Output()
		return err
	})
	for _, want := range []string{"CapPrm:\t" + none, "CapEff:\t" + none, "CapAmb:\t" + none, "NoNewPrivs:\t1"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}
