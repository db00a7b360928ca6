package chtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"microagent/ch"
	"microagent/runtime/guest/proto"
)

// Patience names the environment variable with another bound of each wait: an emulated guest on a busy machine
// is slow, and a guest inside that one slower.
const Patience = "MICROAGENT_TEST_PATIENCE"

// patience bounds each wait of the suite.
var patience = func() time.Duration {
	if d, err := time.ParseDuration(os.Getenv(Patience)); err == nil {
		return d
	}
	return 90 * time.Second
}()

// guestPort is where the guest answers commands.
const guestPort = 7000

// vmm is a server's process with what is connected to it.
type vmm struct {
	t      *testing.T
	dir    string
	client *ch.Client
	cmd    *exec.Cmd
	ping   ch.Ping
	exited chan struct{}
	stderr *buffer

	mu     sync.Mutex
	events []ch.Event
	news   chan struct{} // closed and renewed when an event came
}

// start runs the server in a directory of its own, with its API at api.sock there.
func (s Server) start(t *testing.T, extra ...string) *vmm {
	t.Helper()
	dir, err := os.MkdirTemp("", "ch")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return s.startIn(t, dir, extra...)
}

func (s Server) startIn(t *testing.T, dir string, extra ...string) *vmm {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	v := &vmm{t: t, dir: dir, exited: make(chan struct{}), news: make(chan struct{}), stderr: &buffer{}}
	v.cmd = s.Command(append([]string{"--api-socket", "path=" + v.path("api.sock"), "--event-monitor", "fd=3"}, extra...)...)
	v.cmd.Dir = dir
	v.cmd.Stderr = v.stderr
	v.cmd.ExtraFiles = []*os.File{w}
	if v.cmd.SysProcAttr == nil {
		v.cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	v.cmd.SysProcAttr.Setpgid = true
	if err := v.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	var work sync.WaitGroup
	work.Go(func() { _ = v.cmd.Wait(); close(v.exited) })
	work.Go(func() { v.collect(r) })
	v.client = ch.New(ch.Unix(v.path("api.sock")), ch.Timeouts{Boot: patience, Pause: patience, Snapshot: patience})
	t.Cleanup(func() {
		_ = v.cmd.Process.Kill()
		work.Wait()
		v.client.Close()
		if t.Failed() {
			t.Logf("stderr of %s:\n%s", s.Name, v.stderr)
			if text, err := os.ReadFile(v.path("console")); err == nil {
				t.Logf("console:\n%s", text)
			}
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if v.ping, err = v.client.WaitForAPI(ctx, v.exited); err != nil {
		t.Fatalf("%v; stderr: %s", err, v.stderr)
	}
	return v
}

func (v *vmm) path(name string) string { return filepath.Join(v.dir, name) }

func (v *vmm) collect(r *os.File) {
	defer r.Close()
	decoder := ch.NewEventDecoder(r)
	for {
		e, err := decoder.Next()
		if err != nil {
			return
		}
		v.mu.Lock()
		v.events = append(v.events, e)
		close(v.news)
		v.news = make(chan struct{})
		v.mu.Unlock()
	}
}

// story gives the names of the events so far, without those of single devices, which depend on the guest's timing.
func (v *vmm) story() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var list []string
	for _, e := range v.events {
		if e.Source != "virtio-device" {
			list = append(list, e.Source+"/"+e.Name)
		}
	}
	return list
}

// await waits for the n-th event of a name and gives it.
func (v *vmm) await(source, name string, n int) ch.Event {
	v.t.Helper()
	deadline := time.After(patience)
	for {
		v.mu.Lock()
		seen, news := 0, v.news
		for _, e := range v.events {
			if e.Is(source, name) {
				if seen++; seen == n {
					v.mu.Unlock()
					return e
				}
			}
		}
		v.mu.Unlock()
		select {
		case <-news:
		case <-deadline:
			v.t.Fatalf("no event %s/%s (%d) came; there were %v", source, name, n, v.story())
		}
	}
}

// wait waits for the process's end and gives its exit code.
func (v *vmm) wait() int {
	v.t.Helper()
	select {
	case <-v.exited:
	case <-time.After(patience):
		v.t.Fatalf("the process did not end; events: %v", v.story())
	}
	return v.cmd.ProcessState.ExitCode()
}

// disk makes a sparse image of size bytes in the VM's directory.
func (v *vmm) disk(name string, size int64) ch.DiskConfig {
	v.t.Helper()
	f, err := os.Create(v.path(name))
	if err != nil {
		v.t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		v.t.Fatal(err)
	}
	return ch.DiskConfig{Path: new(v.path(name)), Id: new(name), Serial: new(name), ImageType: new(ch.ImageRaw)}
}

// config is a VM that boots the suite's guest.
func (v *vmm) config(g Guest, disks ...ch.DiskConfig) ch.VmConfig {
	return ch.VmConfig{
		Cpus:    &ch.CpusConfig{BootVcpus: 1, MaxVcpus: 1},
		Memory:  &ch.MemoryConfig{Size: 256 << 20},
		Payload: &ch.PayloadConfig{Kernel: &g.Kernel, Initramfs: &g.Initramfs, Cmdline: new("console=ttyS0 quiet panic=-1")},
		Serial:  &ch.SerialConfig{Mode: ch.ConsoleFile, File: new(v.path("console"))},
		Console: &ch.ConsoleConfig{Mode: ch.ConsoleOff},
		Vsock:   &ch.VsockConfig{Cid: 3, Socket: v.path("vsock")},
		Disks:   disks,
	}
}

// boot creates and boots a VM.
func (v *vmm) boot(c ch.VmConfig) {
	v.t.Helper()
	must(v.t, v.client.Create(v.t.Context(), c))
	must(v.t, v.client.Boot(v.t.Context()))
}

// dial reaches a port of the guest.
func (v *vmm) dial(port uint32) ch.VsockConn {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.t.Context(), patience)
	defer cancel()
	conn, err := v.dialler().DialUntil(ctx, port)
	if err != nil {
		v.t.Fatal(err)
	}
	return conn
}

func (v *vmm) dialler() ch.VsockDialer {
	return ch.VsockDialer{Dial: ch.Unix(v.path("vsock")), Attempt: 10 * time.Second}
}

// agent begins a session with the guest's agent, which is to be closed.
func (v *vmm) agent(ctx context.Context) *proto.Session {
	v.t.Helper()
	session, err := proto.Connect(ctx, func(ctx context.Context, port uint32) (net.Conn, error) {
		return v.dialler().DialUntil(ctx, port)
	})
	must(v.t, err)
	return session
}

// ask sends the guest a command and gives its answer, "" when the connection ended first.
func (v *vmm) ask(format string, a ...any) string {
	v.t.Helper()
	conn := v.dial(guestPort)
	defer conn.Close()
	must(v.t, conn.SetDeadline(time.Now().Add(patience)))
	if _, err := fmt.Fprintf(conn, format+"\n", a...); err != nil {
		v.t.Fatal(err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, unix.ECONNRESET) && !errors.Is(err, net.ErrClosed) {
		v.t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// askUntil asks until the answer is want: what the guest does after an answer of the API has no event.
func (v *vmm) askUntil(want, format string, a ...any) {
	v.t.Helper()
	deadline := time.Now().Add(patience)
	var got string
	for time.Now().Before(deadline) {
		if got = v.ask(format, a...); got == want {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	v.t.Fatalf("%s: the guest answers %q, want %q", fmt.Sprintf(format, a...), got, want)
}

func (v *vmm) state() ch.State {
	v.t.Helper()
	s, err := v.client.State(v.t.Context())
	must(v.t, err)
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// buffer is a bytes.Buffer that may be read while it is written.
type buffer struct {
	mu   sync.Mutex
	text []byte
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text = append(b.text, p...)
	return len(p), nil
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.text)
}
