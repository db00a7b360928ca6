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
	"strconv"
	"syscall"
	"unsafe"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// call is a system call that a thread of a process is about to make.
type call struct {
	pid, thread int
	number      uint64
	args        [6]uint64
}

// traceOptions tell calls from signals, and follow threads; whoever traces takes what it traces along.
const traceOptions = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_EXITKILL

// traceCommand runs a command and asks kill before each of its calls, until it says so: then the command is killed, and does
// not make that call any more. It gives the exit status of a command that came to its end, and what it said.
func traceCommand(ts *testscript.TestScript, line []string, kill func(call) bool) (code int, text string) {
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
	status := traced{ts: ts, pid: pid, kill: kill}.toItsEnd()
	_, _ = said.Seek(0, io.SeekStart)
	all, _ := io.ReadAll(said)
	return status.ExitStatus(), string(all)
}

// traceProcess is traceCommand for a process that is there already and leads its group; begun is called once no call of it can be
// missed.
func traceProcess(ts *testscript.TestScript, pid int, begun func(), kill func(call) bool) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	t := traced{ts: ts, pid: pid, kill: kill, stopping: map[int]bool{}, begun: begun}
	for more := true; more; { // a thread that begins meanwhile is found by the next turn, or comes with the one that begins it
		more = false
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
		ts.Check(err)
		for _, path := range threads {
			id, err := strconv.Atoi(filepath.Base(path))
			ts.Check(err)
			if t.stopping[id] || ptrace(unix.PTRACE_SEIZE, id, 0, traceOptions) != nil {
				continue
			}
			ts.Check(ptrace(unix.PTRACE_INTERRUPT, id, 0, 0))
			t.stopping[id], more = true, true
		}
	}
	if !t.stopping[pid] {
		ts.Fatalf("process %d can't be traced", pid)
	}
	t.toItsEnd()
}

func ptrace(request, thread int, addr, data uintptr) error {
	if _, _, errno := unix.Syscall6(unix.SYS_PTRACE, uintptr(request), uintptr(thread), addr, data, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// traced is a process whose calls are looked at.
type traced struct {
	ts       *testscript.TestScript
	pid      int
	kill     func(call) bool
	stopping map[int]bool // threads that are to stop before it is begun
	begun    func()
}

// toItsEnd lets it go on, from call to call.
func (t traced) toItsEnd() unix.WaitStatus {
	known, killed := map[int]bool{}, false
	for {
		var status unix.WaitStatus
		id, err := unix.Wait4(-t.pid, &status, unix.WALL, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		t.ts.Check(err)
		if !status.Stopped() {
			if id == t.pid {
				return status
			}
			t.stopped(id)
			continue
		}
		signal, first := status.StopSignal(), !known[id]
		known[id] = true
		if first && id == t.pid {
			t.ts.Check(unix.PtraceSetOptions(t.pid, traceOptions))
		}
		switch {
		case signal == unix.SIGTRAP|0x80:
			if c, ok := t.call(id); ok && !killed && t.kill(c) {
				killed = true
				t.ts.Check(unix.Kill(t.pid, unix.SIGKILL))
			}
			signal = 0
		case first, signal == unix.SIGTRAP: // it begins, or another thread does
			signal = 0
		}
		// One that was killed meanwhile can't be asked.
		if err := unix.PtraceSyscall(id, int(signal)); err != nil && !errors.Is(err, unix.ESRCH) {
			t.ts.Fatalf("trace %d: %v", t.pid, err)
		}
		t.stopped(id)
	}
}

func (t traced) stopped(thread int) {
	if t.stopping[thread] {
		delete(t.stopping, thread)
		if len(t.stopping) == 0 {
			t.begun()
		}
	}
}

// call is what a thread is about to do; false where it has done it.
func (t traced) call(thread int) (c call, ok bool) {
	// ptrace_syscall_info of ptrace(2): what the stop is of, 1 for a call's beginning; behind 24 bytes its number and arguments.
	info := make([]byte, 88)
	if ptrace(unix.PTRACE_GET_SYSCALL_INFO, thread, uintptr(len(info)), uintptr(unsafe.Pointer(&info[0]))) != nil ||
		info[0] != unix.PTRACE_SYSCALL_INFO_ENTRY {
		return c, false
	}
	var words [7]uint64
	if _, err := binary.Decode(info[24:], binary.NativeEndian, &words); err != nil {
		return c, false
	}
	return call{t.pid, thread, words[0], [6]uint64(words[1:])}, true
}

// bytes are up to size of those at an address of the process.
func (c call) bytes(at, size uint64) []byte {
	data := make([]byte, min(size, 4096))
	local := unix.Iovec{Base: unsafe.SliceData(data)}
	local.SetLen(len(data))
	n, err := unix.ProcessVMReadv(c.pid, []unix.Iovec{local}, []unix.RemoteIovec{{Base: uintptr(at), Len: len(data)}}, 0)
	if err != nil {
		return nil
	}
	return data[:n]
}

// file is what a descriptor of the process leads to, as /proc has it.
func (c call) file(fd uint64) string {
	to, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", c.pid, int32(fd)))
	if err != nil {
		return ""
	}
	return to
}
