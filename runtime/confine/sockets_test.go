package confine

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// trialSockets is trial for tryByIP.
const trialSockets = "MICROAGENT_TEST_SOCKETS"

// tryByIP does what a program that may connect by IP may want to do.
func tryByIP(path string) {
	say := func(what string, err error) { fmt.Printf("%s: %s\n", what, reason(err)) }
	_, err := net.Dial("unix", path)
	say("unix socket", err)
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err == nil {
		err = unix.Sendto(pair[0], []byte("x"), 0, &unix.SockaddrUnix{Name: path + ".datagrams"})
	}
	say("pair of datagrams", err)
	for what, family := range map[string]int{"vsock": unix.AF_VSOCK, "netlink": unix.AF_NETLINK, "IPv4": unix.AF_INET, "IPv6": unix.AF_INET6} {
		_, err := unix.Socket(family, unix.SOCK_DGRAM, 0)
		say(what, err)
	}
	_, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 0, 0, 0)
	say("io_uring", error(errno))
	_, err = net.InterfaceAddrs()
	say("addresses of the host", err)
}

// TestSockets: who may connect by IP reaches no daemon of the host by a socket's path.
func TestSockets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	datagrams, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path + ".datagrams", Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer datagrams.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	rules := []Rule{
		{"", Connect}, {self, Execute}, {"/lib", Execute}, {"/lib64", Execute}, {"/usr/lib", Execute}, {"/etc/ld.so.cache", Read}, {"/dev/null", Device},
	}
	var out []byte
	status := confined(t, rules, func() (err error) {
		c := exec.Command(self)
		c.Env = append(os.Environ(), trialSockets+"="+path)
		out, err = c.Output()
		return err
	})
	if status["Seccomp"] != "2" || !CanFilter() {
		t.Errorf("no system call is filtered, or the kernel is said not to: Seccomp %s, %v", status["Seccomp"], CanFilter())
	}
	const denied = "operation not permitted"
	want := map[string]string{
		"unix socket": denied, "pair of datagrams": denied, "vsock": denied, "io_uring": denied,
		"netlink": "ok", "IPv4": "ok", "IPv6": "ok", "addresses of the host": "ok",
	}
	for line := range strings.Lines(string(out)) {
		what, got, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if got != want[what] {
			t.Errorf("%s: %q, want %q", what, got, want[what])
		}
		delete(want, what)
	}
	if len(want) > 0 {
		t.Errorf("was not tried: %v\n%s", want, out)
	}
}
