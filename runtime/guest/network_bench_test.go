package guest_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/guest/proto"
	"microagent/runtime/kernel"
	"microagent/runtime/network/dial"
	"microagent/runtime/network/gateway"
	"microagent/schema/spec"
)

const asGateway = "gateway"

// A server of the benchmark is outside at this address, and at slirp's gateway.
const (
	benchAddress = "203.0.113.9"
	slirpAddress = "10.0.2.2"
)

// loopbackOutside is an outside in which every public address is this host.
var loopbackOutside = gateway.Outside{Dialer: dial.Dialer{Connect: func(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, network[:3]+"4", fmt.Sprint("127.0.0.1:", to.Port()))
}}}

// carried is how much one run of a benchmark of the network carries, in bytes.
const carried = 100 << 20

// BenchmarkNetwork measures the network of a guest beside QEMU's own, slirp with virtio-net, in one guest and in turns: what
// is carried each way, the round trip, idle and beside a download, and a connect that is refused. All is measured on the
// host. The adapter's part is played by the test: its connections to the guest are relayed as the adapter does.
func BenchmarkNetwork(b *testing.B) {
	tree := rootTree(b)
	bringToSlirp(b, tree)
	v := startWith(b, []string{"-netdev", "user,id=slirp", "-device", "virtio-net-pci,netdev=slirp"}, vmDisk{serial: "root", path: disk(b, tree, "128m")})
	s := v.connect()
	link := gateway.GuestLink
	if err := s.Configure(b.Context(), proto.Config{Root: proto.Mount{Serial: "root", Path: "/"}, Network: &proto.Network{
		MTU: gateway.MTU, Addresses: []string{link.Addresses[0].String()}, Gateways: []string{link.Gateways[0].String()},
	}}); err != nil {
		b.Fatal(err)
	}
	inGuest(b, s, io.Discard, "/bin/sh", "-c", "for m in failover net_failover virtio_net; do /bin/busybox insmod /$m.ko; done; /bin/busybox ip addr add 10.0.2.15/24 dev eth0; /bin/busybox ip link set eth0 mtu 1500 up")
	lead(b, v)
	o := serveOutside(b)
	in := func(b *testing.B, address string, port int, what ...string) {
		b.Helper()
		inGuest(b, s, io.Discard, append([]string{"/reach", fmt.Sprint(address, ":", port)}, what...)...)
	}
	each := func(measure func(address string) float64) []turn {
		return []turn{{"ours", func() float64 { return measure(benchAddress) }}, {"slirp", func() float64 { return measure(slirpAddress) }}}
	}
	b.Run("up", func(b *testing.B) {
		turns(b, "MB/s", each(func(a string) float64 { in(b, a, o.sink, "up", fmt.Sprint(carried)); return o.rate(b) })...)
	})
	b.Run("down", func(b *testing.B) {
		turns(b, "MB/s", each(func(a string) float64 { in(b, a, o.source, "down"); return o.rate(b) })...)
	})
	b.Run("round trip", func(b *testing.B) {
		turns(b, "ms",
			turn{"slirp", func() float64 { in(b, slirpAddress, o.echo, "ping", "200"); return o.trip() }},
			turn{"refused", func() float64 {
				const times = 50
				var said stamps
				inGuest(b, s, &said, "/reach", benchAddress+":80", "refused", fmt.Sprint(times))
				return said.last.Sub(said.first).Seconds() * 1000 / times
			}},
			turn{"beside-a-download", func() float64 {
				var beside sync.WaitGroup
				beside.Go(func() { in(b, benchAddress, o.source, "down") })
				<-o.began
				in(b, benchAddress, o.echo, "ping", "50")
				trip := o.trip()
				beside.Wait()
				o.rate(b)
				return trip
			}},
			turn{"ours", func() float64 { in(b, benchAddress, o.echo, "ping", "200"); return o.trip() }})
	})
}

// bringToSlirp puts into a tree what a guest runs, and the modules of slirp's card, which guests have no need of.
func bringToSlirp(b *testing.B, tree string) {
	b.Helper()
	build := exec.Command("go", "build", "-o", filepath.Join(tree, "reach"), "./testdata/reach")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	dir := b.TempDir()
	packages, err := kernel.Download(b.Context(), runtime.GOARCH, dir, nil)
	if err != nil {
		b.Fatal(err)
	}
	for _, p := range packages {
		if out, err := exec.Command("dpkg-deb", "-x", p, dir).CombinedOutput(); err != nil {
			b.Fatalf("%v\n%s", err, out)
		}
	}
	for _, name := range []string{"net/core/failover.ko", "drivers/net/net_failover.ko", "drivers/net/virtio_net.ko"} {
		found, _ := filepath.Glob(filepath.Join(dir, "lib/modules/*/kernel", name))
		if len(found) == 0 {
			b.Fatalf("the kernel has no %s", name)
		}
		data, err := os.ReadFile(found[0])
		if err == nil {
			err = os.WriteFile(filepath.Join(tree, filepath.Base(name)), data, 0o644)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// lead leads a guest's packets to a gateway.
func lead(b *testing.B, v *vm) {
	b.Helper()
	p, err := gateway.Start(gateway.Options{
		Argv: []string{os.Args[0], asGateway}, Stderr: os.Stderr, Denied: func(driver.Denial) {}, State: func(driver.NetworkState) {},
		Log: func(line string) { b.Log(line) }, Gone: func() {},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(p.Close)
	if err := p.Permit(&spec.Network{Allow: []spec.Rule{{Name: "bench", CIDR: benchAddress + "/32", Ports: []spec.PortRange{{First: 1024, Last: 65535}}}}}); err != nil {
		b.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(b.TempDir(), "vsock"))
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	near, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	far, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	port, err := v.session.Dial(b.Context(), proto.StreamPort)
	if err != nil {
		b.Fatal(err)
	}
	var relays sync.WaitGroup
	relay := func(to io.WriteCloser, from io.Reader) {
		_, _ = io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, make([]byte, 64<<10)) // as the adapter's
		to.Close()
	}
	relays.Go(func() { relay(far, port) })
	relays.Go(func() { relay(port, far) })
	b.Cleanup(func() { far.Close(); port.Close(); relays.Wait() })
	if err := p.Connect(near); err != nil {
		b.Fatal(err)
	}
}

// inGuest runs a command, which has to succeed.
func inGuest(b *testing.B, s *proto.Session, stdout io.Writer, argv ...string) {
	b.Helper()
	p, err := s.Start(b.Context(), proto.ExecSpec{Command: proto.Command{Argv: argv}}, proto.Streams{Stdout: stdout, Stderr: os.Stderr})
	if err != nil {
		b.Fatal(err)
	}
	if exit, err := p.Wait(b.Context()); err != nil || exit.Code != 0 {
		b.Fatalf("%v: %+v, %v", argv, exit, err)
	}
}

// outside are the servers of the benchmark, and what they measure.
type outside struct {
	sink, source, echo int
	began              chan struct{}
	took               chan time.Duration

	mu    sync.Mutex
	trips []time.Duration
}

func serveOutside(b *testing.B) *outside {
	b.Helper()
	o := &outside{began: make(chan struct{}, 1), took: make(chan time.Duration, 1)}
	o.sink = o.serve(b, func(c *net.TCPConn) {
		began := time.Now()
		if n, err := io.Copy(io.Discard, c); n != carried {
			b.Errorf("%d bytes, %v", n, err)
		}
		o.took <- time.Since(began)
	})
	o.source = o.serve(b, func(c *net.TCPConn) {
		select {
		case o.began <- struct{}{}:
		default:
		}
		began := time.Now()
		_, _ = io.Copy(c, io.LimitReader(zeros{}, carried))
		_ = c.CloseWrite()
		_, _ = io.Copy(io.Discard, c) // until it has taken all
		o.took <- time.Since(began)
	})
	o.echo = o.serve(b, func(c *net.TCPConn) {
		one := make([]byte, 1)
		var last time.Time
		for {
			if _, err := io.ReadFull(c, one); err != nil {
				return
			}
			now := time.Now()
			if !last.IsZero() {
				o.mu.Lock()
				o.trips = append(o.trips, now.Sub(last))
				o.mu.Unlock()
			}
			last = now
			_, _ = c.Write(one)
		}
	})
	return o
}

func (o *outside) serve(b *testing.B, f func(*net.TCPConn)) int {
	b.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				f(c.(*net.TCPConn))
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

// rate is of what was carried last.
func (o *outside) rate(b *testing.B) float64 {
	b.Helper()
	select {
	case <-o.began:
	default:
	}
	return carried / 1e6 / (<-o.took).Seconds()
}

// trip is the median of the round trips since it was asked last, in ms.
func (o *outside) trip() float64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	list := slices.Sorted(slices.Values(o.trips))
	o.trips = nil
	return list[len(list)/2].Seconds() * 1000
}

// turn is one of the things that are compared.
type turn struct {
	name    string
	measure func() float64
}

// turns measures all in each round, and reports the medians and those of the last one's ratio to each.
func turns(b *testing.B, unit string, all ...turn) {
	b.Helper()
	got := make([][]float64, len(all))
	for b.Loop() {
		for i, t := range all {
			got[i] = append(got[i], t.measure())
		}
	}
	last := len(all) - 1
	for i, t := range all {
		b.ReportMetric(median(got[i]), t.name+"-"+unit)
		if i < last {
			ratios := make([]float64, len(got[i]))
			for j := range ratios {
				ratios[j] = got[i][j] / got[last][j]
			}
			b.ReportMetric(median(ratios), t.name+"/"+all[last].name)
		}
	}
	b.ReportMetric(0, "ns/op") // of all together, which says nothing
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}

// stamps remembers when the first and the last came of what is written, by the host's clock.
type stamps struct{ first, last time.Time }

func (s *stamps) Write(p []byte) (int, error) {
	if s.last = time.Now(); s.first.IsZero() {
		s.first = s.last
	}
	return len(p), nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }
