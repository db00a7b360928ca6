package supervise

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"

	clog "github.com/containerd/log"
	"golang.org/x/sys/unix"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/runtime/supervise/control"
	"microagent/schema/printable"
)

// readyFD is the descriptor of the ready pipe in a spawned supervisor.
const readyFD = 3

// Main is the process that Spawn starts: it reads a Spec from stdin, runs it, and writes the ready line to
// descriptor 3. When the run's owner is gone at its end, it calls abandoned, which nobody else is left to do. It gives the
// exit code.
func Main(ctx context.Context, stdin io.Reader, stderr io.Writer, abandoned func(context.Context, Spec) error) int {
	own, guests := logWriters(stderr)
	log := slog.New(slog.NewTextHandler(own, nil))
	// ttrpc logs what a guest sends out of turn, as often as it does.
	clog.L.Logger.SetOutput(guests)
	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	syscall.CloseOnExec(readyFD)
	ready := &readyPipe{file: os.NewFile(readyFD, "ready")}
	defer ready.Close()
	var spec Spec
	if err := json.NewDecoder(stdin).Decode(&spec); err != nil {
		log.Error("read spec", "error", err)
		return 1
	}
	log = log.With("workspace", spec.Workspace.Name, "run", spec.RunID)
	err := Run(ctx, spec, Options{Ready: ready, Log: log})
	if err != nil {
		log.Error("run", "error", err)
	}
	if spec.Owner != nil && !spec.Owner.Alive() {
		err = errors.Join(err, abandoned(context.WithoutCancel(ctx), spec))
	}
	if err != nil {
		return 1
	}
	return 0
}

// Bounds of supervisor.log, in bytes: of what a run says, and of what a guest makes libraries say. Each has its own, so
// that no guest can silence its supervisor.
const (
	ownLogLimit   = 1 << 20
	guestLogLimit = 256 << 10
)

// logWriters gives what the supervisor says, and what a guest makes libraries say, a bound each.
func logWriters(w io.Writer) (own, guests io.Writer) {
	return &boundedWriter{w: w, left: ownLogLimit}, &boundedWriter{w: w, left: guestLogLimit}
}

// boundedWriter passes on that much, and drops the rest with a last word.
type boundedWriter struct {
	w    io.Writer
	mu   sync.Mutex
	left int
}

func (b *boundedWriter) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left <= 0 {
		return len(p), nil
	}
	if b.left -= len(p); b.left <= 0 {
		_, err := io.WriteString(b.w, "this log is full; the rest is dropped\n")
		return len(p), err
	}
	return b.w.Write(p)
}

// readyPipe is closed by the one line that goes through it.
type readyPipe struct{ file *os.File }

func (r *readyPipe) Write(p []byte) (int, error) {
	n, err := r.file.Write(p)
	return n, errors.Join(err, r.Close())
}

func (r *readyPipe) Close() error {
	if err := r.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

// Spawn starts a detached supervisor by argv, a command that calls Main, and returns when its guest is ready.
// Ending ctx asks the supervisor to stop.
func Spawn(ctx context.Context, argv []string, spec Spec) (driver.Run, error) {
	op, name := "start workspace", spec.Workspace.Name
	folder := layout.State{Dir: spec.State}.Workspace(name)
	data, err := json.Marshal(spec)
	if err != nil {
		return driver.Run{}, fmt.Errorf("%s %s: %w", op, name, err)
	}
	log, err := os.OpenFile(folder.File(layout.SupervisorLog), os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return driver.Run{}, fmt.Errorf("%s %s: %w", op, name, err)
	}
	defer log.Close()
	ready, readyIn, err := os.Pipe()
	if err != nil {
		return driver.Run{}, fmt.Errorf("%s %s: %w", op, name, err)
	}
	defer ready.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = folder.Dir
	cmd.Env = environment()
	cmd.Stdin = bytes.NewReader(data)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{readyIn}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	closeOnExec()
	err = cmd.Start()
	readyIn.Close()
	if err != nil {
		return driver.Run{}, fmt.Errorf("%s %s: start supervisor: %w", op, name, err)
	}
	// It outlives this call and, mostly, this process; while this process lives, it is reaped.
	reaped := make(chan struct{})
	go func() {
		defer close(reaped)
		_ = cmd.Wait()
	}()
	// By the handle, not the number, which may be another process's by then.
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
	defer stop()
	line, err := bufio.NewReader(ready).ReadBytes('\n')
	var run driver.Run
	var failed error
	if err == nil {
		run, failed, err = control.DecodeReady(line)
	}
	if err != nil {
		<-reaped
		why := "the supervisor ended: " + tailOf(folder.File(layout.SupervisorLog))
		if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			why = "its supervisor was killed before the guest was up: " + cmd.ProcessState.String()
		}
		return driver.Run{}, &driver.Error{
			Class: driver.ErrGuest, Op: op, Object: name, Err: errors.New(why), Next: "microagent logs --supervisor " + name,
		}
	}
	if failed != nil {
		// Its leases go with it: who tries again must not find them.
		<-reaped
		if ctx.Err() != nil {
			return run, ctx.Err()
		}
		return run, failed
	}
	return run, nil
}

// closeOnExec makes no child inherit what this process inherited besides its standard streams: a supervisor would
// hold the lock or the pipe of somebody's script for as long as its workspace runs. What a child is to have is passed
// on by name, which this does not touch.
func closeOnExec() {
	const all = math.MaxInt32
	if unix.CloseRange(readyFD, all, unix.CLOSE_RANGE_CLOEXEC) == nil {
		return
	}
	fds, _ := os.ReadDir("/proc/self/fd") // Linux before 5.11
	for _, e := range fds {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd >= readyFD {
			syscall.CloseOnExec(fd)
		}
	}
}

// environment is the little of ours that a supervisor gets: nothing that steers tests, no secrets.
func environment() []string {
	env := []string{"LANG=C.UTF-8"}
	for _, name := range []string{"PATH", "HOME", "TMPDIR"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// tailOf gives the last lines of a log for a message.
func tailOf(path string) string {
	data, err := os.ReadFile(path)
	text := strings.TrimSpace(string(data))
	if err != nil || text == "" {
		return "it left no word"
	}
	lines := strings.Split(text, "\n")
	return printable.Line(strings.Join(lines[max(0, len(lines)-5):], "; "))
}
