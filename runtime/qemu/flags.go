package qemu

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// flags are the adapter's arguments: those of cloud-hypervisor that have a meaning here, and its own.
type flags struct {
	socket     target
	events     target
	logFile    string
	noShutdown bool
	opened     opened
	handed     handed
	binary     string
	version    string
	accel      Accel
}

// target is a path or an inherited file descriptor.
type target struct {
	path string
	fd   int // -1: path counts
}

func (t *target) String() string { return t.path }

// Set reads "path=P", "fd=N" or a bare path.
func (t *target) Set(text string) error {
	t.fd = -1
	if number, ok := strings.CutPrefix(text, "fd="); ok {
		n, err := strconv.ParseUint(number, 10, 31)
		if err != nil {
			return err
		}
		t.fd = int(n)
		return nil
	}
	t.path = strings.TrimPrefix(text, "path=")
	if t.path == "" {
		return errors.New("empty path")
	}
	return nil
}

func (t *target) given() bool { return t.path != "" || t.fd >= 0 }

func parseFlags(args []string, output io.Writer) (*flags, error) {
	f := &flags{socket: target{fd: -1}, events: target{fd: -1}, opened: opened{}, handed: -1}
	set := flag.NewFlagSet("microagent qemu", flag.ContinueOnError)
	set.SetOutput(output)
	set.Var(&f.socket, "api-socket", "`path=P|fd=N` to serve the API on")
	set.Var(&f.events, "event-monitor", "`path=P|fd=N` to write events to")
	set.StringVar(&f.logFile, "log-file", "", "`file` to log to instead of stderr")
	set.BoolVar(&f.noShutdown, "no-shutdown", false, "stay when the guest powers off")
	set.BoolFunc("v", "ignored", func(string) error { return nil })
	set.BoolFunc("vv", "ignored", func(string) error { return nil })
	set.Func("seccomp", "ignored: QEMU's own sandbox is used where it has one", func(string) error { return nil })
	set.Func("opened", "`fd=N,path=P`: the file that the API calls P is open as N; it may be given again", f.opened.set)
	set.Func("handed", "`fd=N`: a socket of packets on which open files come later, each with its path in JSON", f.handed.set)
	set.StringVar(&f.binary, "qemu", "", "QEMU's `binary`")
	set.StringVar(&f.version, "qemu-version", "", "the `version` of --qemu, which is not asked then")
	set.Func("accel", "`tcg|kvm`", func(text string) error {
		f.accel = Accel(text)
		if f.accel != TCG && f.accel != KVM {
			return errors.New("tcg or kvm")
		}
		return nil
	})
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	if set.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", set.Arg(0))
	}
	if !f.socket.given() {
		return nil, errors.New("--api-socket is needed")
	}
	return f, nil
}

// inheritedFile makes a file of an inherited descriptor. It is kept from children that do not get it by name.
func inheritedFile(fd int, name string) (*os.File, error) {
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
		return nil, fmt.Errorf("%s: descriptor %d: %w", name, fd, err)
	}
	unix.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), name), nil
}
