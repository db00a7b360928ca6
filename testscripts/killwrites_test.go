package testscripts

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"microagent/testscripts/lane"
)

// killwrites WHO NAME PREPARE AFTER COMMAND...: runs the shell line PREPARE and then the command, and kills it, where WHO is
// command, or the supervisor of the workspace NAME, where WHO is supervisor, with SIGKILL when that workspace's run.json gets
// its next content, then when it gets the one after that, and so on, until the command comes to its end unharmed. The shell
// line AFTER must succeed each time. Each kill takes the boots of two applies: one content in three is tried, the first with
// every command, and all with TESTS=all.
func killwrites(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 5, "killwrites WHO NAME PREPARE AFTER COMMAND...")
	kills, each := 0, 3
	if lane.All() {
		each = 1
	}
	for n := 1; n < 100; n += each {
		run(ts, "sh", "-c", args[2])
		run := killedAtWrite(ts, n, args[0] == "command", args[1], args[4:])
		if err := ts.Exec("sh", "-c", args[3]); err != nil {
			ts.Fatalf("killed at write %d, of %s: after it: %v", n, run, err)
		}
		if run == "" {
			ts.Logf("killed at %d writes", kills)
			if kills*each < 3 {
				ts.Fatalf("there were only %d", kills)
			}
			return
		}
		kills++
	}
	ts.Fatalf("the command never comes to its end")
}

// killedAtWrite gives the run.json at whose writing somebody was killed, "" when the command ended before.
func killedAtWrite(ts *testscript.TestScript, n int, command bool, name string, line []string) (written string) {
	folder := filepath.Join(ts.Getenv("STATE"), "workspaces", name)
	writes, stop := writesOf(ts, folder, "run.json")
	defer stop()
	var said bytes.Buffer
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = ts.MkAbs("."), &said, &said
	cmd.Env = append(os.Environ(), "MICROAGENT_STATE_DIR="+ts.Getenv("STATE"), "HOME="+ts.Getenv("HOME"))
	ts.Check(cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case <-writes:
			if n--; n != 0 {
				continue
			}
			pid := cmd.Process.Pid
			if !command {
				pid, _ = runPID(ts, name)
			}
			written = ts.ReadFile(filepath.Join(folder, "run.json"))
			err := syscall.Kill(pid, syscall.SIGKILL) // one that ends behind this write may have
			ts.Logf("killed, %v, at: %s", err, strings.Join(strings.Fields(written), ""))
			gone(ts, pid)
		case err := <-ended:
			if written == "" && err != nil {
				ts.Fatalf("%s: %v: %s", strings.Join(line, " "), err, said.String())
			}
			return written
		case <-time.After(2 * time.Minute):
			_ = cmd.Process.Kill()
			ts.Fatalf("%s does not end: %s", strings.Join(line, " "), said.String())
		}
	}
}

// writesOf tells of each file that takes a name in a folder, until it is stopped.
func writesOf(ts *testscript.TestScript, folder, name string) (<-chan struct{}, func()) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	ts.Check(err)
	f := os.NewFile(uintptr(fd), "inotify")
	_, err = unix.InotifyAddWatch(fd, folder, unix.IN_MOVED_TO)
	ts.Check(err)
	writes := make(chan struct{}, 1000)
	var reading sync.WaitGroup
	reading.Go(func() {
		buf := make([]byte, 64<<10)
		for {
			got, err := f.Read(buf)
			if err != nil {
				return
			}
			for at := 0; at < got; { // inotify(7): a header of 16 bytes, whose last four are the length of the name behind it
				end := at + unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(buf[at+12:]))
				if string(bytes.TrimRight(buf[at+unix.SizeofInotifyEvent:end], "\x00")) == name {
					writes <- struct{}{}
				}
				at = end
			}
		}
	})
	return writes, func() { f.Close(); reading.Wait() }
}
