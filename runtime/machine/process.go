package machine

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"microagent/ch"
	"microagent/runtime/confine"
	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/schema/printable"
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

// firstExtra is the number of the first inherited file: the event stream. For the adapter the API's socket, the
// handed ones and the socket for those that come later follow.
const firstExtra = 3

func (vm *VM) spawn() error {
	const op = "start VMM"
	handed, done, err := vm.spec.open()
	if err != nil {
		return err
	}
	defer done()
	argv := vm.spec.argv(handed)
	events, eventsIn, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	defer eventsIn.Close()
	// A smaller pipe works as well.
	_, _ = unix.FcntlInt(eventsIn.Fd(), unix.F_SETPIPE_SZ, eventPipe)
	sockets, err := os.Open(filepath.Join(vm.spec.Folder, layout.VMMDir))
	if err != nil {
		return errors.Join(fmt.Errorf("%s: %w", op, err), events.Close())
	}
	defer sockets.Close()
	p := &process{cmd: exec.Command(argv[0], argv[1:]...), exited: make(chan struct{})}
	if vm.spec.Choice.Kind != CloudHypervisor {
		p.cmd.Path, p.cmd.Err = self, nil
	}
	// By the open folder: without capabilities root can't pass every folder above it.
	p.cmd.Dir = "/proc/self/fd/" + strconv.Itoa(int(sockets.Fd()))
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8"}
	p.cmd.ExtraFiles = []*os.File{eventsIn}
	if vm.spec.Choice.Kind != CloudHypervisor {
		api, err := listen(sockets, filepath.Base(layout.APISocket))
		if err != nil {
			return errors.Join(fmt.Errorf("%s: %w", op, err), events.Close())
		}
		defer api.Close()
		p.cmd.ExtraFiles = append(p.cmd.ExtraFiles, api)
	}
	for _, file := range handed {
		p.cmd.ExtraFiles = append(p.cmd.ExtraFiles, file.file)
	}
	if vm.spec.Choice.Kind != CloudHypervisor {
		ours, theirs, err := handingPair()
		if err != nil {
			return errors.Join(fmt.Errorf("%s: %w", op, err), events.Close())
		}
		defer theirs.Close()
		vm.handing = ours
		p.cmd.ExtraFiles = append(p.cmd.ExtraFiles, theirs)
	}
	rules := vm.spec.rules()
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	out := io.MultiWriter(vm.log, p)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	started := make(chan error)
	// The parent-death signal is bound to the thread that started the process: it is kept until the process is gone.
	run := func(err error) {
		if err == nil {
			err = p.cmd.Start()
		}
		started <- err
		if err != nil {
			return
		}
		p.err = p.cmd.Wait()
		close(p.exited)
	}
	vm.owned.Go(func() { confine.Run(rules, run) })
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
		vm.early.take(e)
		vm.takeRemoval(e)
		vm.events <- e
	}
}

// handedFile is an open file that the VMM inherits, with the path that its configuration has for it.
type handedFile struct {
	file *os.File
	path string
}

// listen opens a socket in a folder, for a process that may make no other file there.
func listen(dir *os.File, name string) (*os.File, error) {
	path := fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), name)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: path})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	file, err := l.File()
	return file, errors.Join(err, l.Close())
}

// open gives all that the VMM inherits: the leases, which are the disks themselves, and for the adapter what the guest
// boots. A VMM without capabilities may not get to the files, also where root runs it.
func (s Spec) open() (handed []handedFile, done func(), err error) {
	for i, l := range s.Leases {
		handed = append(handed, handedFile{l, s.path(s.Disks[i].Path)})
	}
	if s.Choice.Kind == CloudHypervisor {
		return handed, func() {}, nil
	}
	if t := s.Copy; t != nil {
		handed = append(handed, filesIn(t.Folder, t.Files)...)
	}
	if d := s.Save; d != nil {
		handed = append(handed, filesIn(d.Folder, d.Files)...)
	}
	kernel, err := os.Open(s.Boot.Kernel)
	if err != nil {
		return nil, nil, s.missing(err)
	}
	initramfs, err := os.Open(s.Boot.Initramfs)
	if err != nil {
		return nil, nil, errors.Join(s.missing(err), kernel.Close())
	}
	handed = append(handed, handedFile{kernel, s.Boot.Kernel}, handedFile{initramfs, s.Boot.Initramfs})
	return handed, func() { kernel.Close(); initramfs.Close() }, nil
}

func filesIn(folder string, files map[string]*os.File) []handedFile {
	var list []handedFile
	for name, f := range files {
		list = append(list, handedFile{f, filepath.Join(folder, name)})
	}
	return list
}

// missing is the error for a kernel or initramfs that can't be opened.
func (s Spec) missing(err error) error {
	class := driver.ErrUnavailable
	if errors.Is(err, fs.ErrNotExist) {
		class = driver.ErrNotFound
	}
	return &driver.Error{Class: class, Op: "start VMM of workspace", Object: s.Name, Err: err, Next: "microagent kernel install"}
}

// argv starts cloud-hypervisor, or the adapter, which takes the same options.
func (s Spec) argv(handed []handedFile) []string {
	events := []string{"--event-monitor", "fd=" + strconv.Itoa(firstExtra)}
	if s.Choice.Kind == CloudHypervisor {
		return append([]string{s.Choice.Path, "--seccomp", "true", "--api-socket", "path=./" + filepath.Base(layout.APISocket)}, events...)
	}
	argv := append(slices.Clone(s.Adapter), events...)
	argv = append(argv, "--api-socket", "fd="+strconv.Itoa(firstExtra+1))
	accel := "tcg"
	if s.Choice.Hardware {
		accel = "kvm"
	}
	argv = append(argv, "--qemu", s.Choice.Path, "--accel", accel)
	if s.Choice.Version != "" {
		argv = append(argv, "--qemu-version", s.Choice.Version)
	}
	for i, h := range handed {
		argv = append(argv, "--opened", fmt.Sprintf("fd=%d,path=%s", firstExtra+2+i, h.path))
	}
	argv = append(argv, "--handed", fmt.Sprintf("fd=%d", firstExtra+2+len(handed)))
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
	return text + ": " + printable.Line(strings.Join(lines[max(0, len(lines)-4):], "; "))
}
