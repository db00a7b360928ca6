package agent

import (
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"microagent/runtime/guest/proto"
	"microagent/runtime/guest/proto/wire"
)

// killAfter is how long a process that timed out has for its SIGTERM.
const killAfter = 5 * time.Second

// process is one that runs or ran. A session and process group of its own: its pid names the group.
type process struct {
	id       string
	pid      int
	children *children
	terminal *os.File // our end; nil without
	started  instant  // just before it ran
	timedOut atomic.Bool
	timers   []*time.Timer
	ended    chan struct{}
	loops    sync.WaitGroup     // what copies to and from its streams
	exit     *wire.WaitResponse // set before ended is closed
}

// stdio is what a process begins with: its ends of files, and what goes on between ours and the streams.
type stdio struct {
	files []*os.File // 0, 1, 2 of the process
	ours  []io.Closer
	loops []func(ended <-chan struct{})
}

func (s *stdio) closeTheirs() {
	seen := map[*os.File]bool{}
	for _, f := range s.files {
		if f != nil && !seen[f] {
			seen[f] = true
			f.Close()
		}
	}
}

// launch runs c with io. It takes io over, whatever comes out.
func launch(id string, c *command, s *stdio, kids *children, terminal *os.File, timeout time.Duration) (*process, error) {
	p := &process{id: id, children: kids, terminal: terminal, started: now(), ended: make(chan struct{})}
	attr := &syscall.ProcAttr{
		Dir: c.dir,
		Env: c.env,
		Sys: &syscall.SysProcAttr{
			Setsid: true, Setctty: terminal != nil,
			Credential: &syscall.Credential{Uid: c.id.uid, Gid: c.id.gid, Groups: c.id.groups},
		},
	}
	for _, f := range s.files {
		// Go's files are non-blocking where they can be; programs expect theirs not to be.
		_ = syscall.SetNonblock(int(f.Fd()), false)
		attr.Files = append(attr.Files, f.Fd())
	}
	started := make(chan struct{})
	since := kids.short.mark()
	n, err := kids.start(c.path, c.argv, attr, func(status syscall.WaitStatus) {
		<-started
		exit := exitOf(status)
		exit.OutOfMemory = kids.short.killed(p.pid, since, status, kids.started)
		p.finish(exit)
	})
	s.closeTheirs()
	if err != nil {
		for _, o := range s.ours {
			o.Close()
		}
		return nil, execFailed(c.path, err)
	}
	p.pid = n
	if timeout > 0 {
		p.timers = append(p.timers,
			time.AfterFunc(timeout, func() { p.timedOut.Store(true); _ = p.signal(unix.SIGTERM) }),
			time.AfterFunc(timeout+killAfter, func() { _ = p.signal(unix.SIGKILL) }))
	}
	close(started)
	for _, loop := range s.loops {
		p.loops.Go(func() { loop(p.ended) })
	}
	return p, nil
}

// signal reaches the whole group.
func (p *process) signal(sig syscall.Signal) error { return p.children.kill(-p.pid, sig) }

// signalAlone reaches the process but not its group.
func (p *process) signalAlone(sig syscall.Signal) error { return p.children.kill(p.pid, sig) }

func (p *process) finish(exit *wire.WaitResponse) {
	for _, t := range p.timers {
		t.Stop()
	}
	exit.TimedOut = p.timedOut.Load()
	p.exit = exit
	close(p.ended)
}

func exitOf(status syscall.WaitStatus) *wire.WaitResponse {
	if status.Signaled() {
		return &wire.WaitResponse{Code: int32(128 + status.Signal()), Signal: int32(status.Signal())}
	}
	return &wire.WaitResponse{Code: int32(status.ExitStatus())}
}

// stillborn is a process that could not be started: it has an exit code, and its reason as output.
func stillborn(id string, why *notRun, st *proto.Stream) *process {
	p := &process{id: id, started: now(), ended: make(chan struct{}), exit: &wire.WaitResponse{Code: int32(why.code), Message: why.text}}
	if st != nil {
		_, _ = st.Write([]byte("microagent: " + why.text + "\n"))
	}
	close(p.ended)
	return p
}
