package testscripts

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// allowance is what a command may read and write besides what a script says: manifests, records, what the kernel tells.
const allowance = 1 << 20

// counts READ WRITTEN MEMORY COMMAND...: the command succeeds, having asked the kernel for READ bytes and given it WRITTEN,
// and for no more than the allowance besides; its memory was at most MEMORY MiB at any time.
func counts(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 4, "counts READ WRITTEN MEMORY COMMAND...")
	var limits [3]int64
	for i := range limits {
		n, err := strconv.ParseInt(args[i], 10, 64)
		ts.Check(err)
		limits[i] = n
	}
	path := args[3]
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if _, err := os.Stat(filepath.Join(dir, args[3])); err == nil {
			path = filepath.Join(dir, args[3])
			break
		}
	}
	said := &strings.Builder{}
	cmd := exec.Command(path, args[4:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = ts.MkAbs("."), said, said
	for _, name := range []string{"PATH", "HOME", "MICROAGENT_STATE_DIR"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	ts.Check(cmd.Start())
	peak := watchMemory(cmd.Process.Pid) // rusage of a process has what its parent had when it began
	// What it took is told as long as nobody has heard of its end.
	for {
		err := unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			ts.Check(err)
			break
		}
	}
	memory := peak() >> 20
	io, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", cmd.Process.Pid))
	ts.Check(err)
	if err := cmd.Wait(); err != nil {
		ts.Fatalf("%s: %v\n%s", args[3], err, said)
	}
	var read, written int64
	_, err = fmt.Sscanf(string(io), "rchar: %d\nwchar: %d", &read, &written)
	ts.Check(err)
	ts.Logf("read %d bytes, wrote %d, %d MiB of memory", read, written, memory)
	for _, c := range []struct {
		what      string
		got, want int64
	}{{"read", read, limits[0]}, {"wrote", written, limits[1]}} {
		if c.got < c.want || c.got > c.want+allowance {
			ts.Fatalf("it %s %d bytes, not %d", c.what, c.got, c.want)
		}
	}
	if memory > limits[2] {
		ts.Fatalf("it took %d MiB of memory, more than %d", memory, limits[2])
	}
}
