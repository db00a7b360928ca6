package testscripts

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// below are the processes whose working directory is dir or lies in it, with their command lines.
func below(dir string) map[int]string {
	found := map[int]string{}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		cwd, err := os.Readlink(filepath.Join("/proc", e.Name(), "cwd"))
		if err != nil {
			continue
		}
		cwd = strings.TrimSuffix(cwd, " (deleted)")
		if cwd == dir || strings.HasPrefix(cwd, dir+"/") {
			line, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
			found[pid] = strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}

func killBelow(dir string) {
	for pid := range below(dir) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// runPID is the supervisor of a workspace, from its run.json.
func runPID(ts *testscript.TestScript, name string) (int, string) {
	folder := filepath.Join(ts.Getenv("STATE"), "workspaces", name)
	var run struct {
		PID int `json:"pid"`
	}
	if err := json.Unmarshal([]byte(ts.ReadFile(filepath.Join(folder, "run.json"))), &run); err != nil || run.PID == 0 {
		ts.Fatalf("workspace %s has no supervisor in its run.json: %v", name, err)
	}
	return run.PID, folder
}

// killrun NAME: kills the supervisor of the workspace of that name on disk, as kill -9 does, and waits for its end.
func killrun(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1, "killrun NAME")
	pid, _ := runPID(ts, args[0])
	ts.Check(syscall.Kill(pid, syscall.SIGKILL))
	gone(ts, pid)
}

// killvmm NAME: kills what the workspace's supervisor started, and not the supervisor.
func killvmm(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1, "killvmm NAME")
	supervisor, folder := runPID(ts, args[0])
	n := 0
	for pid, line := range below(folder) {
		if pid != supervisor && (strings.Contains(line, "qemu-system") || strings.Contains(line, "cloud-hypervisor")) {
			if syscall.Kill(pid, syscall.SIGKILL) == nil { // the adapter ends with its QEMU
				n++
			}
			gone(ts, pid)
		}
	}
	if n == 0 {
		ts.Fatalf("no VMM of %s is running: %v", args[0], below(folder))
	}
}

// killall NAME: kills the workspace's supervisor, and once it has ended all that it started: one that outlived its VMM
// by a moment would record how that ended.
func killall(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1, "killall NAME")
	supervisor, folder := runPID(ts, args[0])
	all := below(folder)
	ts.Check(syscall.Kill(supervisor, syscall.SIGKILL))
	gone(ts, supervisor)
	killBelow(folder)
	for pid := range all {
		gone(ts, pid)
	}
	if len(all) < 2 {
		ts.Fatalf("only %v ran", all)
	}
}

// numThreads is the place of num_threads behind the name in /proc/PID/stat (proc_pid_stat(5)).
const numThreads = 20 - 3

// gone waits until a process has ended; a zombie has that is its last thread, and so has closed its files.
func gone(ts *testscript.TestScript, pid int) {
	deadline := time.Now().Add(time.Minute)
	for time.Now().Before(deadline) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		if words := strings.Fields(rest); len(words) > numThreads && words[0] == "Z" && words[numThreads] == "1" {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	ts.Fatalf("process %d does not end", pid)
}

// idle: no process of this script's state directory is left, or none is soon.
func idle(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 0, "idle")
	left := remaining(ts.Getenv("STATE"))
	for _, pid := range sorted(left) {
		ts.Logf("%d %s", pid, left[pid])
	}
	if len(left) > 0 {
		ts.Fatalf("%d processes are left running", len(left))
	}
}

// remaining waits for the end of the processes below a folder, and gives those that do not end.
func remaining(dir string) (left map[int]string) {
	for deadline := time.Now().Add(hangs); ; time.Sleep(50 * time.Millisecond) {
		if left = below(dir); len(left) == 0 || time.Now().After(deadline) {
			return left
		}
	}
}

func allocated(path string) int64 {
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		return -1
	}
	return st.Blocks * 512
}

// freeze NAME: stops every process of the workspace but its supervisor, as kill -STOP does.
func freeze(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1, "freeze NAME")
	supervisor, folder := runPID(ts, args[0])
	stopped := 0
	for pid := range below(folder) {
		if pid != supervisor && syscall.Kill(pid, syscall.SIGSTOP) == nil {
			stopped++
		}
	}
	if stopped == 0 {
		ts.Fatalf("no process of %s", args[0])
	}
}
