package machine

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"microagent/ch"
	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

// process is the VMM's process.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{}
	err    error // of Wait; meaningful after exited

	mu   sync.Mutex
	last []byte // the end of what it printed
}

// eventPipe is how much may wait unread in the event stream; a VMM drops events rather than wait.
const eventPipe = 1 << 20

// firstExtra is the number of the first inherited file: the event stream. The leases follow.
const firstExtra = 3

func (vm *VM) spawn() error {
	const op = "start VMM"
	argv := vm.spec.argv()
	events, eventsIn, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	defer eventsIn.Close()
	// A smaller pipe works as well.
	_, _ = unix.FcntlInt(eventsIn.Fd(), unix.F_SETPIPE_SZ, eventPipe)
	p := &process{cmd: exec.Command(argv[0], argv[1:]...), exited: make(chan struct{})}
	p.cmd.Dir = vm.spec.Folder
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8"}
	p.cmd.ExtraFiles = append([]*os.File{eventsIn}, vm.spec.Leases...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	out := io.MultiWriter(vm.log, p)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	started := make(chan error)
	// The parent-death signal is bound to the thread that started the process: it is kept until the process is gone.
	vm.owned.Go(func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.err = p.cmd.Wait()
		close(p.exited)
	})
	if err := <-started; err != nil {
		events.Close()
		e := &driver.Error{Class: driver.ErrUnavailable, Op: op + " of workspace", Object: vm.spec.Name, Err: err}
		if errors.Is(err, os.ErrNotExist) {
			e.Next = "microagent doctor"
		}
		return e
	}
	vm.process = p
	vm.owned.Go(func() { vm.readEvents(events) })
	return nil
}

func (vm *VM) readEvents(r *os.File) {
	defer close(vm.events)
	defer r.Close()
	d := ch.NewEventDecoder(r)
	for {
		e, err := d.Next()
		if err != nil {
			return
		}
		vm.events <- e
	}
}

// argv starts cloud-hypervisor, or the adapter, which takes the same options.
func (s Spec) argv() []string {
	options := []string{
		"--api-socket", "path=./" + layout.APISocket,
		"--event-monitor", "fd=" + strconv.Itoa(firstExtra),
	}
	if s.Choice.Kind == CloudHypervisor {
		return append([]string{s.Choice.Path, "--seccomp", "true"}, options...)
	}
	argv := append([]string{}, s.Adapter...)
	argv = append(argv, options...)
	argv = append(argv, "--qemu", s.Choice.Path)
	if len(s.Leases) > 0 {
		var fds []string
		for i := range s.Leases {
			fds = append(fds, strconv.Itoa(firstExtra+1+i))
		}
		argv = append(argv, "--lease-fds", strings.Join(fds, ","))
	}
	return argv
}

// keepLast is how much of the VMM's output an error can show.
const keepLast = 2048

// Write keeps the end of what the process prints.
func (p *process) Write(data []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = append(p.last, data...)
	if len(p.last) > keepLast {
		p.last = append(p.last[:0], p.last[len(p.last)-keepLast:]...)
	}
	return len(data), nil
}

func (p *process) kill() {
	select {
	case <-p.exited:
	default:
		// It may be gone by now, which is what was wanted.
		_ = p.cmd.Process.Kill()
	}
}

// describe says how the process ended and what it said last.
func (p *process) describe() string {
	p.mu.Lock()
	said := strings.TrimSpace(string(p.last))
	p.mu.Unlock()
	text := "the VMM (" + filepath.Base(p.cmd.Path) + ") ended"
	if exit, ok := errors.AsType[*exec.ExitError](p.err); ok {
		text += ": " + exit.Error()
	}
	if said == "" {
		return text
	}
	lines := strings.Split(said, "\n")
	return text + ": " + Escape(strings.Join(lines[max(0, len(lines)-4):], "; "))
}
