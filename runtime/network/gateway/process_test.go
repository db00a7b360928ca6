package gateway

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"microagent/runtime/confine"
	"microagent/runtime/driver"
	"microagent/runtime/guest/proto"
	"microagent/runtime/network/dial"
	"microagent/runtime/network/policy"
	"microagent/runtime/network/stack"
	"microagent/runtime/network/stack/stacktest"
	"microagent/schema/spec"
)

const asGateway = "gateway"

// TestMain is also the process of a gateway, to which every public address is this host's loopback.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == asGateway {
		tidyUp()
		os.Exit(Main(Outside{Resolver: reads{&world{names: map[string][]string{"api.example.com": {"203.0.113.9"}}}, os.Args[2:]},
			Dialer: dial.Dialer{Connect: func(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error) {
				var d net.Dialer
				c, err := d.DialContext(ctx, network, fmt.Sprint("127.0.0.1:", to.Port()))
				if tcp, ok := c.(*net.TCPConn); ok && to.Addr() == littleRoom {
					holdLittle(tcp)
				}
				return c, err
			}}}, os.Stderr))
	}
	os.Exit(m.Run())
}

// reads is a resolver that tells of the process that it is in: reads.example.com has the address 203.0.113.100 and one more
// for each path that can be read there, by its number.
type reads struct {
	*world
	paths []string
}

func (r reads) Lookup(ctx context.Context, name string) ([]netip.Addr, []string, error) {
	if name != "reads.example.com" {
		return r.world.Lookup(ctx, name)
	}
	list := []netip.Addr{netip.AddrFrom4([4]byte{203, 0, 113, 100})}
	for i, path := range r.paths {
		_, err := os.ReadFile(path)
		if err != nil {
			_, err = os.ReadDir(path)
		}
		if err == nil {
			list = append(list, netip.AddrFrom4([4]byte{203, 0, 113, byte(101 + i)}))
		}
	}
	return list, nil, nil
}

// running is a gateway with a guest that is reached as a guest's agent is.
type running struct {
	*Process
	*stacktest.Guest
	denied chan driver.Denial
	gone   chan struct{}
	states chan driver.NetworkState
}

func startProcess(t *testing.T, n *spec.Network, reads ...string) *running {
	t.Helper()
	r := &running{Guest: stacktest.New(policy.Guest4, policy.Guest6), denied: make(chan driver.Denial, 100), gone: make(chan struct{}, 10), states: make(chan driver.NetworkState, 1000)}
	var err error
	r.Process, err = Start(Options{
		Argv: append([]string{os.Args[0], asGateway}, reads...), Stderr: os.Stderr,
		Denied: func(d driver.Denial) { r.denied <- d }, State: func(s driver.NetworkState) { r.states <- s },
		Log: func(line string) { t.Log("gateway:", line) }, Gone: func() { r.gone <- struct{}{} },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Permit(n); err != nil {
		t.Fatal(err)
	}
	carried := r.connect(t)
	t.Cleanup(func() {
		r.Process.Close()
		<-carried
		r.Guest.Close()
	})
	return r
}

// connect gives the gateway a stream of packets to the guest; the channel is closed at its end.
func (r *running) connect(t *testing.T) <-chan struct{} {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var conns [2]net.Conn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "guest")
		if conns[i], err = net.FileConn(f); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	if err := r.Process.Connect(conns[0]); err != nil {
		t.Fatal(err)
	}
	h, st, err := proto.Accept(conns[1], 20*time.Second)
	if err != nil || h.GetKind() != proto.KindPackets {
		t.Fatal(h, err)
	}
	if err := st.Ok(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Carry(st)
	}()
	return done
}

// serveEcho echoes at a port of loopback, which is that of every public address.
func serveEcho(t *testing.T) (port uint16) {
	t.Helper()
	w := &world{servers: map[netip.AddrPort]net.Listener{}}
	w.at(t, "203.0.113.9:1", echo)
	for _, l := range w.servers {
		port = uint16(l.Addr().(*net.TCPAddr).Port)
	}
	return port
}

func byAddress(port uint16) *spec.Network {
	return allow(spec.Rule{Name: "lab", CIDR: "203.0.113.0/24", Ports: []spec.PortRange{{First: port, Last: port}}})
}

func (r *running) echoes(t *testing.T, port uint16) net.Conn {
	t.Helper()
	c, err := r.Dial(t.Context(), netip.AddrPortFrom(netip.MustParseAddr("203.0.113.9"), port))
	if err != nil {
		t.Fatal(err)
	}
	said(t, c)
	return c
}

func said(t *testing.T, c net.Conn) {
	t.Helper()
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 5)
	if _, err := io.ReadFull(c, b); err != nil || string(b) != "hello" {
		t.Fatalf("%q, %v", b, err)
	}
}

func TestProcess(t *testing.T) {
	port := serveEcho(t)
	r := startProcess(t, byAddress(port))
	c := r.echoes(t, port)
	if _, err := r.Dial(t.Context(), netip.AddrPortFrom(netip.MustParseAddr("203.0.113.9"), port+1)); err == nil {
		t.Error("another port is reached")
	}
	if d := <-r.denied; d.Port != port+1 || d.Rule != policy.RuleDefault {
		t.Errorf("%+v", d)
	}
	for s := range r.states {
		if s.Denied == 1 && s.Flows == 1 {
			break
		}
	}
	if err := r.Permit(allow()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("a flow that is allowed no longer ends with %v", err)
	}
}

// Nothing of the supervisor's reaches the process, and little of the host.
func TestProcessHasLittle(t *testing.T) {
	// As a supervisor does when it begins: what started this test may have left files open.
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	r := startProcess(t, nil)
	status := readStatus(t, r.PID())
	for _, field := range []string{"CapPrm", "CapEff", "CapAmb"} {
		if strings.Trim(status[field], "0") != "" {
			t.Errorf("%s is %s", field, status[field])
		}
	}
	if status["NoNewPrivs"] != "1" {
		t.Error("it may gain privileges")
	}
	if status["Seccomp"] != "2" {
		t.Error("it may make any socket")
	}
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", r.PID()))
	if err != nil || string(environ) != "LANG=C.UTF-8\x00" {
		t.Errorf("its environment is %q, %v", environ, err)
	}
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", r.PID()))
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		target, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", r.PID(), fd.Name()))
		if strings.HasPrefix(target, "/") && target != "/dev/null" {
			t.Errorf("it has %s open", target)
		}
	}
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", r.PID()))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{fmt.Sprintf("Max data size             %d", mostData), fmt.Sprintf("Max open files            %d", mostFiles)} {
		if !strings.Contains(string(limits), want) {
			t.Errorf("no %q in\n%s", want, limits)
		}
	}
}

// The process reads how the host resolves names, and no other file of its user's.
func TestProcessReadsLittle(t *testing.T) {
	own := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(own, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	paths := []string{"/etc/hosts", own, filepath.Dir(own), "/", "/etc", "/etc/passwd", "/proc/version", fmt.Sprintf("/proc/%d/environ", os.Getpid()), "/sys/class/net", "/var", "/home", "/root", "/tmp", "/dev/urandom"}
	r := startProcess(t, allow(host("reads.example.com", 80)), paths...)
	list, err := lookupBy(t.Context(), r.Guest, "reads.example.com")
	if err != nil {
		t.Fatal(err)
	}
	if confine.LandlockVersion() == 0 { // the kernel keeps it from nothing
		list = list[:min(len(list), 2)]
	}
	for _, a := range list {
		if n := int(a.Unmap().As4()[3]); n != 100 && n != 101 {
			t.Errorf("it can read %s", paths[n-101])
		}
	}
	if len(list) != 2 {
		t.Errorf("%d can be read: it does not resolve as the host does", len(list)-1)
	}
}

func readStatus(t *testing.T, pid int) map[string]string {
	t.Helper()
	return fields(t, fmt.Sprintf("/proc/%d/status", pid))
}

// fields reads lines of "name: value".
func fields(t *testing.T, path string) map[string]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	list := map[string]string{}
	for s := bufio.NewScanner(f); s.Scan(); {
		name, value, _ := strings.Cut(s.Text(), ":")
		list[name] = strings.TrimSpace(value)
	}
	return list
}

// A guest that comes after another, or after a reboot, begins anew; a stream that breaks is told of.
func TestAnotherGuest(t *testing.T) {
	port := serveEcho(t)
	r := startProcess(t, byAddress(port))
	r.echoes(t, port)
	carried := r.connect(t)
	for s := range r.states {
		if s.Flows == 0 {
			break
		}
	}
	said(t, r.echoes(t, port))
	if len(r.gone) > 0 {
		t.Error("the guest that was replaced is told to be gone")
	}
	_ = r.Process.cmd.Process.Signal(syscall.SIGKILL)
	<-carried
	<-r.Exited()
}

// privateKiB is what a process has for itself.
func privateKiB(t *testing.T, pid int) (sum int) {
	t.Helper()
	for _, name := range []string{"Private_Clean", "Private_Dirty"} {
		var n int
		if _, err := fmt.Sscan(fields(t, fmt.Sprintf("/proc/%d/smaps_rollup", pid))[name], &n); err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	return sum
}

// mostIdle is what all flows that there may be take while they are idle, in KiB.
const mostIdle = 24 << 10

func TestIdleFlowsTakeLittle(t *testing.T) {
	port := serveEcho(t)
	r := startProcess(t, byAddress(port))
	said(t, r.echoes(t, port))
	before := privateKiB(t, r.PID())
	var open sync.WaitGroup
	for range stack.MostFlows - 1 {
		open.Go(func() {
			c, err := r.Dial(t.Context(), netip.AddrPortFrom(netip.MustParseAddr("203.0.113.9"), port))
			if err == nil {
				_, err = c.Write([]byte("x"))
			}
			if err == nil {
				_, err = c.Read(make([]byte, 1))
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	open.Wait()
	after := privateKiB(t, r.PID())
	t.Logf("%d idle flows: %d KiB more than %d KiB", stack.MostFlows, after-before, before)
	if most := mostIdle * raceCost; after-before > most {
		t.Errorf("that is above %d MiB", most>>10)
	}
}
