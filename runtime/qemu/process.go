package qemu

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// spawner starts processes from one thread that lives until close. The signal that a child gets when its parent
// dies is tied to the thread that forked it, and Go's threads come and go.
type spawner struct {
	jobs chan func()
	done chan struct{}
	log  io.Writer // what they write to stderr goes there too
}

func newSpawner(log io.Writer) *spawner {
	s := &spawner{jobs: make(chan func()), done: make(chan struct{}), log: log}
	go func() {
		defer close(s.done)
		runtime.LockOSThread()
		for job := range s.jobs {
			job()
		}
	}()
	return s
}

// close ends the thread, and with it whatever process still runs that it started.
func (s *spawner) close() {
	close(s.jobs)
	<-s.done
}

// process is a running QEMU.
type process struct {
	cmd    *exec.Cmd
	stderr tail
	exited chan struct{} // closed when it has ended and was waited for
}

// start runs a program in a process group of its own, with a clean environment and files from descriptor 3 on.
func (s *spawner) start(binary string, arguments []string, files []*os.File) (*process, error) {
	p := &process{cmd: exec.Command(binary, arguments...), exited: make(chan struct{})}
	p.stderr.log = s.log
	p.cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	p.cmd.Stderr = &p.stderr
	p.cmd.ExtraFiles = files
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	result := make(chan error)
	s.jobs <- func() { result <- p.cmd.Start() }
	if err := <-result; err != nil {
		return nil, err
	}
	go func() {
		defer close(p.exited)
		_ = p.cmd.Wait() // how it ended is in ProcessState
	}()
	return p, nil
}

// kill ends the process and waits for its end.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended by itself
	<-p.exited
}

// reason says why the process ended, from what it wrote last.
func (p *process) reason() string {
	if lines := p.stderr.lines(); len(lines) > 0 {
		last := lines[len(lines)-1]
		for _, prefix := range []string{"qemu-system-", "qemu: "} {
			if rest, ok := strings.CutPrefix(last, prefix); ok {
				if _, after, found := strings.Cut(rest, ": "); found && prefix == "qemu-system-" {
					rest = after
				}
				last = rest
			}
		}
		return last
	}
	return p.cmd.ProcessState.String()
}

// tail keeps the end of what is written to it, and passes it on to a log that may fail.
type tail struct {
	log  io.Writer
	mu   sync.Mutex
	text []byte
}

const tailSize = 8 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, _ = t.log.Write(p)
	t.text = append(t.text, p...)
	if over := len(t.text) - tailSize; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(p), nil
}

// lines gives what was kept, without empty lines.
func (t *tail) lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.FieldsFunc(string(t.text), func(r rune) bool { return r == '\n' || r == '\r' })
}

var _ io.Writer = (*tail)(nil)

// socketPair gives a connected pair: ours, and the end that is handed to QEMU.
func socketPair(name string) (*net.UnixConn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: socketpair: %w", name, err)
	}
	theirs := os.NewFile(uintptr(fds[1]), name)
	ours := os.NewFile(uintptr(fds[0]), name)
	conn, err := net.FileConn(ours)
	closeErr := ours.Close()
	if err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, errors.Join(err, theirs.Close()))
	}
	return conn.(*net.UnixConn), theirs, nil
}
