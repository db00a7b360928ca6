package testscripts

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"unsafe"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// killcalls PREPARE CHECK COMMAND...: runs the command again and again and kills it with SIGKILL as it makes its first call
// that changes a file system, which is not made any more, then its second, and so on, until it comes to its end unharmed. The
// shell line PREPARE comes before each; CHECK, a shell line too, must succeed behind each kill, and with the word done behind
// it when the command was run once more, which must succeed.
func killcalls(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 3, "killcalls PREPARE CHECK COMMAND...")
	for n := 1; n < 500; n++ {
		run(ts, "sh", "-c", args[0])
		at := killedAtCall(ts, n, args[2:])
		if at == "" {
			run(ts, "sh", "-c", args[1]+" done")
			ts.Logf("killed at each of %d calls", n-1)
			if n < 5 {
				ts.Fatalf("only %d calls came", n-1)
			}
			return
		}
		ts.Logf("killed at call %d: %s", n, at)
		run(ts, "sh", "-c", args[1])
		run(ts, args[2], args[3:]...)
		run(ts, "sh", "-c", args[1]+" done")
	}
	ts.Fatalf("the command never comes to its end")
}

// changes are the system calls that change a file system, with what tells of a call of one that does not.
var changes = map[uint64]struct {
	name  string
	where func(pid int, args []uint64) bool
}{
	unix.SYS_OPENAT:          {"openat", creates},
	unix.SYS_WRITE:           {"write", toFile},
	unix.SYS_PWRITE64:        {"pwrite64", toFile},
	unix.SYS_COPY_FILE_RANGE: {"copy_file_range", nil},
	unix.SYS_MKDIRAT:         {"mkdirat", nil},
	unix.SYS_SYMLINKAT:       {"symlinkat", nil},
	unix.SYS_LINKAT:          {"linkat", nil},
	unix.SYS_RENAMEAT:        {"renameat", nil},
	unix.SYS_RENAMEAT2:       {"renameat2", nil},
	unix.SYS_UNLINKAT:        {"unlinkat", nil},
	unix.SYS_FCHMOD:          {"fchmod", nil},
	unix.SYS_FCHMODAT:        {"fchmodat", nil},
	unix.SYS_FTRUNCATE:       {"ftruncate", nil},
	unix.SYS_FALLOCATE:       {"fallocate", nil},
	unix.SYS_FSYNC:           {"fsync", nil},
	unix.SYS_FDATASYNC:       {"fdatasync", nil},
	unix.SYS_SYNCFS:          {"syncfs", nil},
}

func creates(_ int, args []uint64) bool {
	return args[2]&(unix.O_CREAT|unix.O_TMPFILE&^unix.O_DIRECTORY) != 0
}

func toFile(pid int, args []uint64) bool {
	to, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, args[0]))
	return err == nil && args[0] > 2 && strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "/dev/")
}

// killedAtCall runs a command and kills it as it is about to change a file system for the nth time; it says by which call, ""
// when the command ended before.
func killedAtCall(ts *testscript.TestScript, n int, line []string) (at string) {
	runtime.LockOSThread() // only this thread may ask for what it traces
	defer runtime.UnlockOSThread()
	path, err := exec.LookPath(line[0])
	ts.Check(err)
	said, err := os.CreateTemp(ts.Getenv("HOME"), "said")
	ts.Check(err)
	defer said.Close()
	null, err := os.Open(os.DevNull)
	ts.Check(err)
	defer null.Close()
	pid, err := syscall.ForkExec(path, line, &syscall.ProcAttr{
		Dir: ts.MkAbs("."), Env: append(os.Environ(), "MICROAGENT_STATE_DIR="+ts.Getenv("STATE"), "HOME="+ts.Getenv("HOME")),
		Files: []uintptr{null.Fd(), said.Fd(), said.Fd()}, Sys: &syscall.SysProcAttr{Ptrace: true, Setpgid: true},
	})
	ts.Check(err)
	threads, seen := map[int]bool{}, 0
	for {
		var status unix.WaitStatus
		id, err := unix.Wait4(-pid, &status, unix.WALL, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		ts.Check(err)
		if !status.Stopped() {
			if id != pid {
				continue
			}
			if at == "" && status.ExitStatus() != 0 {
				_, _ = said.Seek(0, io.SeekStart)
				text, _ := io.ReadAll(said)
				ts.Fatalf("%s: it ended with %d, after %d calls: %s", filepath.Base(path), status.ExitStatus(), seen, text)
			}
			return at
		}
		signal, known := status.StopSignal(), threads[id]
		if !known {
			threads[id] = true
			if id == pid {
				ts.Check(unix.PtraceSetOptions(pid, unix.PTRACE_O_TRACESYSGOOD|unix.PTRACE_O_TRACECLONE|unix.PTRACE_O_EXITKILL))
			}
		}
		switch {
		case signal == unix.SIGTRAP|0x80:
			if call := change(pid, id); call != "" && at == "" {
				if seen++; seen == n {
					at = call
					ts.Check(unix.Kill(pid, unix.SIGKILL))
				}
			}
			signal = 0
		case !known, signal == unix.SIGTRAP: // it begins, or another thread does
			signal = 0
		}
		// One that was killed meanwhile can't be asked.
		if err := unix.PtraceSyscall(id, int(signal)); err != nil && !errors.Is(err, unix.ESRCH) {
			ts.Fatalf("trace %s: %v", line[0], err)
		}
	}
}

// change is the call that a thread is about to make, if it changes a file system.
func change(pid, thread int) string {
	// ptrace_syscall_info of ptrace(2): what the stop is of, 1 for a call's beginning; behind 24 bytes its number and arguments.
	info := make([]byte, 88)
	if err := syscallInfo(thread, info); err != nil || info[0] != unix.PTRACE_SYSCALL_INFO_ENTRY {
		return ""
	}
	var words [7]uint64
	if _, err := binary.Decode(info[24:], binary.NativeEndian, &words); err != nil {
		return ""
	}
	c, ok := changes[words[0]]
	if !ok || c.where != nil && !c.where(pid, words[1:]) {
		return ""
	}
	return c.name
}

func syscallInfo(thread int, to []byte) error {
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_GET_SYSCALL_INFO, uintptr(thread), uintptr(len(to)), uintptr(unsafe.Pointer(&to[0])), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
