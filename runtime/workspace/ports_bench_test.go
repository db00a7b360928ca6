package workspace

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"microagent/ch"
	"microagent/runtime/driver"
	"microagent/runtime/guest/proto"
	"microagent/runtime/layout"
)

// bulk is how much one run of a throughput benchmark carries, in bytes.
const bulk = 32 << 20

// clients is how many short connections there are at a time.
const clients = 16

// BenchmarkPublishedPort measures ports beside what they are compared with, in one guest and in turns, so that other load
// of the machine falls on both: the first byte of an answer beside exec of true, short connections from the host beside
// those of a client within the guest, throughput beside a plain stream to the agent and beside exec's. Each is a median;
// of a ratio too.
func BenchmarkPublishedPort(b *testing.B) {
	s := open(b, b.TempDir())
	spec := spec("bench", idle)
	spec.Ports = []driver.Port{{Guest: 8080, Count: 3, Auto: true}}
	if _, err := s.Create(b.Context(), spec, nil); err != nil {
		b.Fatal(err)
	}
	run, err := s.Start(b.Context(), "bench", driver.StartOptions{})
	if err != nil {
		b.Fatal(err)
	}
	serveInGuest(b, s)
	agent := besideSupervisor(b, s)
	at := map[uint16]string{}
	for _, p := range run.Ports {
		at[p.Guest] = p.Where()
	}
	execTrue := func() time.Duration {
		began := time.Now()
		inGuest(b, s, driver.Streams{}, "true")
		return time.Since(began)
	}
	b.Run("first byte", func(b *testing.B) {
		turns(b, "ms",
			turn{"exec", func() float64 { return execTrue().Seconds() * 1000 }},
			turn{"port", func() float64 { return firstByte(b, at[8080]).Seconds() * 1000 }})
	})
	b.Run("short connections", func(b *testing.B) {
		turns(b, "conns/s",
			turn{"within", func() float64 {
				var said stamps
				inGuest(b, s, driver.Streams{Stdout: &said}, "/server", "ask", "100")
				return 100 / said.last.Sub(said.first).Seconds()
			}},
			turn{"port", func() float64 { return 400 / together(400, func() { firstByte(b, at[8080]) }).Seconds() }})
	})
	b.Run("down", func(b *testing.B) {
		command := []string{"/server", "down", fmt.Sprint(bulk)}
		turns(b, "MB/s",
			turn{"plain", rate(func() { var n counter; onAgent(b, agent, proto.Streams{Stdout: &n}, command); n.check(b) })},
			turn{"exec", rate(func() { var n counter; inGuest(b, s, driver.Streams{Stdout: &n}, command...); n.check(b) })},
			turn{"port", rate(func() { down(b, at[8081]) })})
	})
	b.Run("up", func(b *testing.B) {
		command := []string{"/server", "up"}
		turns(b, "MB/s",
			turn{"plain", rate(func() {
				var said strings.Builder
				onAgent(b, agent, proto.Streams{Stdin: io.LimitReader(zeros{}, bulk), Stdout: &said}, command)
				took(b, said.String())
			})},
			turn{"exec", rate(func() {
				var said strings.Builder
				inGuest(b, s, driver.Streams{Stdin: io.LimitReader(zeros{}, bulk), Stdout: &said}, command...)
				took(b, said.String())
			})},
			turn{"port", rate(func() { up(b, at[8082]) })})
	})
	b.Run("exec true beside a full stream", func(b *testing.B) {
		full := connect(b, at[8081]) // whose client reads nothing
		defer full.Close()
		turns(b, "ms", turn{"exec", func() float64 { return execTrue().Seconds() * 1000 }})
	})
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
				ratios[j] = got[last][j] / got[i][j]
			}
			b.ReportMetric(median(ratios), all[last].name+"/"+t.name)
		}
	}
	b.ReportMetric(0, "ns/op") // of all together, which says nothing
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}

// rate is how fast f carries a bulk.
func rate(f func()) func() float64 {
	return func() float64 {
		began := time.Now()
		f()
		return bulk / 1e6 / time.Since(began).Seconds()
	}
}

// together calls f n times, by so many clients at a time.
func together(n int, f func()) time.Duration {
	began, work := time.Now(), make(chan struct{})
	var clientele sync.WaitGroup
	for range clients {
		clientele.Go(func() {
			for range work {
				f()
			}
		})
	}
	for range n {
		work <- struct{}{}
	}
	close(work)
	clientele.Wait()
	return time.Since(began)
}

// besideSupervisor is a session of our own with the guest's agent.
func besideSupervisor(b *testing.B, s *Store) *proto.Session {
	b.Helper()
	w, err := s.List(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	folder, err := os.Open(w[0].Folder)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { folder.Close() })
	session, err := proto.Connect(b.Context(), func(ctx context.Context, port uint32) (net.Conn, error) {
		return ch.VsockDialer{Dial: ch.UnixAt(folder, layout.VsockSocket)}.DialOnce(ctx, port)
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { session.Close() })
	return session
}

func onAgent(b *testing.B, agent *proto.Session, streams proto.Streams, argv []string) {
	b.Helper()
	p, err := agent.Start(b.Context(), proto.ExecSpec{Command: proto.Command{Argv: argv}}, streams)
	if err != nil {
		b.Fatal(err)
	}
	if end, err := p.Wait(b.Context()); err != nil || end.Code != 0 {
		b.Fatalf("%v: %+v, %v", argv, end, err)
	}
}

// serveInGuest takes the server into the guest and waits until its ports listen.
func serveInGuest(b *testing.B, s *Store) {
	b.Helper()
	takeServer(b, s, "bench")
	inGuest(b, s, driver.Streams{}, "sh", "-c", fmt.Sprintf("{ /server answer & /server serve %d & } </dev/null >/dev/null 2>&1", bulk))
	awaitPorts(b, s, "bench", 3)
}

func inGuest(b *testing.B, s *Store, streams driver.Streams, argv ...string) {
	b.Helper()
	if code, err := s.Exec(context.WithoutCancel(b.Context()), "bench", driver.ExecSpec{Argv: argv}, streams); err != nil || code != 0 {
		b.Fatalf("%v: %d, %v", argv, code, err)
	}
}

func connect(b *testing.B, address string) net.Conn {
	b.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	return conn
}

// firstByte asks for a page and says how long its first byte took; it takes the page whole.
func firstByte(b *testing.B, address string) time.Duration {
	began := time.Now()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		b.Error(err)
		return 0
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: guest\r\n\r\n")
	_, _ = io.ReadFull(conn, make([]byte, 1))
	first := time.Since(began)
	if n, err := io.Copy(io.Discard, conn); err != nil || n < 1024 {
		b.Errorf("%d bytes, %v", n, err)
	}
	return first
}

func down(b *testing.B, address string) {
	b.Helper()
	conn := connect(b, address)
	defer conn.Close()
	if n, err := io.Copy(io.Discard, conn); err != nil || n != bulk {
		b.Fatalf("%d bytes, %v", n, err)
	}
}

func up(b *testing.B, address string) {
	b.Helper()
	conn := connect(b, address)
	defer conn.Close()
	if _, err := io.Copy(conn, io.LimitReader(zeros{}, bulk)); err != nil {
		b.Fatal(err)
	}
	_ = conn.(*net.TCPConn).CloseWrite()
	said, err := io.ReadAll(conn)
	if err != nil {
		b.Fatal(err)
	}
	took(b, string(said))
}

// took checks what a server says that it took.
func took(b *testing.B, said string) {
	b.Helper()
	if strings.TrimSpace(said) != fmt.Sprint(bulk) {
		b.Fatalf("%q", said)
	}
}

// stamps remembers when the first and the last came of what is written, by the host's clock.
type stamps struct{ first, last time.Time }

func (s *stamps) Write(p []byte) (int, error) {
	if s.last = time.Now(); s.first.IsZero() {
		s.first = s.last
	}
	return len(p), nil
}

// counter counts what is written.
type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n += len(p)
	return len(p), nil
}

func (c *counter) check(b *testing.B) {
	b.Helper()
	if c.n != bulk {
		b.Fatalf("%d bytes of %d", c.n, bulk)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }
