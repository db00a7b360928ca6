package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"microagent/runtime/confine"
	"microagent/runtime/driver"
	"microagent/schema/spec"
)

// Options are what a gateway needs of the process that starts it.
type Options struct {
	Argv []string // a command that calls Main; the program itself is started
	// Denied takes each record, State each change, Log lines, Stderr what the process prints; none may wait for long.
	Denied func(driver.Denial)
	State  func(driver.NetworkState)
	Log    func(line string)
	// Gone is called when a guest's packets have ended that was connected.
	Gone   func()
	Stderr io.Writer
	// Peer connects to a port of a peer; called on goroutines of their own. The connection is a socket of the kernel's.
	Peer func(ctx context.Context, peer string, port uint16, protocol spec.Protocol) (*os.File, error)
}

// Process is a gateway that was started.
type Process struct {
	options Options
	pair    *pair
	cmd     *exec.Cmd
	exited  chan struct{}
	err     error // of its end; meaningful after exited
	ctx     context.Context
	cancel  context.CancelFunc
	owned   sync.WaitGroup
}

// self is this program, wherever its file is by now.
const self = "/proc/self/exe"

// rules are the files that a gateway may open: itself and what it loads, and how the host resolves names.
func rules() []confine.Rule {
	list := []confine.Rule{{Rights: confine.Connect}, {Path: self, Rights: confine.Execute}, {Path: "/dev/null", Rights: confine.Device}}
	for _, dir := range []string{"/lib", "/lib64", "/usr/lib"} {
		list = append(list, confine.Rule{Path: dir, Rights: confine.Execute})
	}
	for _, file := range []string{"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/ld.so.cache", "/etc/services"} {
		list = append(list, confine.Rule{Path: file, Rights: confine.Read})
	}
	return list
}

// Start starts a gateway, which allows nothing until Permit. Close must be called.
func Start(o Options) (*Process, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("start gateway: %w", err)
	}
	near, far := os.NewFile(uintptr(fds[0]), "gateway"), os.NewFile(uintptr(fds[1]), "supervisor")
	defer far.Close()
	conn, err := net.FileConn(near)
	near.Close()
	if err != nil {
		return nil, fmt.Errorf("start gateway: %w", err)
	}
	p := &Process{options: o, pair: &pair{conn: conn.(*net.UnixConn)}, exited: make(chan struct{})}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.cmd = exec.Command(o.Argv[0], o.Argv[1:]...)
	p.cmd.Path, p.cmd.Err = self, nil
	p.cmd.Dir = "/"
	p.cmd.Env = []string{"LANG=C.UTF-8"}
	p.cmd.ExtraFiles = []*os.File{far}
	p.cmd.Stderr = o.Stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	// The parent-death signal is bound to the thread that started the process: it is kept until the process is gone.
	p.owned.Go(func() {
		confine.Run(rules(), func(err error) {
			if err == nil {
				err = p.cmd.Start()
			}
			started <- err
			if err == nil {
				p.err = p.cmd.Wait()
				close(p.exited)
			}
		})
	})
	if err := <-started; err != nil {
		conn.Close()
		p.owned.Wait()
		return nil, fmt.Errorf("start gateway: %w", err)
	}
	p.owned.Go(p.hear)
	return p, nil
}

// PID is the process's.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Exited is closed when the process is gone; Err is meaningful then.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Err says how the process ended.
func (p *Process) Err() error {
	if p.err == nil {
		return errors.New("it ended")
	}
	return p.err
}

// Permit makes n what the guest may reach, at once. Flows that it denies end.
func (p *Process) Permit(n *spec.Network) error { return p.pair.send(kindNetwork, n, nil) }

// Connect gives it a connection to the stream port of a guest, which carries that guest's packets from now on. What was
// open ends.
func (p *Process) Connect(conn net.Conn) error {
	defer conn.Close()
	own, ok := conn.(interface{ File() (*os.File, error) })
	if !ok {
		return fmt.Errorf("connect guest: %T has no file", conn)
	}
	file, err := own.File()
	if err != nil {
		return fmt.Errorf("connect guest: %w", err)
	}
	defer file.Close()
	return p.pair.send(kindGuest, nil, file)
}

// Close ends the process, and returns when it is gone.
func (p *Process) Close() {
	p.cancel()
	_ = p.cmd.Process.Kill()
	<-p.exited
	_ = p.pair.conn.Close()
	p.owned.Wait()
}

// hear takes what the gateway says until it is gone. It is no more than that process, which reads what a guest sends.
func (p *Process) hear() {
	for {
		m, err := p.pair.next()
		if err != nil {
			return
		}
		switch m.kind {
		case kindDenial:
			var d driver.Denial
			if json.Unmarshal(m.data, &d) == nil {
				p.options.Denied(d)
			}
		case kindState:
			var s driver.NetworkState
			if json.Unmarshal(m.data, &s) == nil {
				p.options.State(s)
			}
		case kindLog:
			var line string
			if json.Unmarshal(m.data, &line) == nil {
				p.options.Log(line)
			}
		case kindGone:
			p.options.Gone()
		case kindAsk:
			var a ask
			if json.Unmarshal(m.data, &a) == nil {
				p.owned.Go(func() { p.answer(a) })
			}
		}
	}
}

// answer connects to a peer for the gateway.
func (p *Process) answer(a ask) {
	got := answer{ID: a.ID, Failed: "there are no peers"}
	var file *os.File
	if p.options.Peer != nil {
		var err error
		if file, err = p.options.Peer(p.ctx, a.Peer, a.Port, a.Protocol); err != nil {
			got.Failed = err.Error()
		} else {
			got.Failed = ""
			defer file.Close()
		}
	}
	_ = p.pair.send(kindPeer, got, file)
}
