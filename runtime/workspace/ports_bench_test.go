package workspace

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"microagent/runtime/driver"
)

// bulk is how much one run of a throughput benchmark carries, in bytes.
const bulk = 32 << 20

// BenchmarkPublishedPort measures ports beside what they are compared with, in one guest: the first byte of an answer beside
// exec of true, throughput beside exec's streams, and short connections by the second.
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
	at := map[uint16]string{}
	for _, p := range run.Ports {
		at[p.Guest] = p.Where()
	}
	b.Run("exec true", func(b *testing.B) {
		for b.Loop() {
			inGuest(b, s, driver.Streams{}, "true")
		}
	})
	b.Run("first byte", func(b *testing.B) {
		for b.Loop() {
			request(b, at[8080])
		}
	})
	b.Run("short connections", func(b *testing.B) {
		b.SetParallelism(8)
		var n atomic.Int64
		began := time.Now()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				request(b, at[8080])
				n.Add(1)
			}
		})
		b.ReportMetric(float64(n.Load())/time.Since(began).Seconds(), "conns/s")
	})
	b.Run("short connections within the guest", func(b *testing.B) {
		var said strings.Builder
		inGuest(b, s, driver.Streams{Stdout: &said}, "/server", "ask", fmt.Sprint(b.N))
		rate, err := strconv.ParseFloat(strings.TrimSpace(said.String()), 64)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(rate, "conns/s")
	})
	b.Run("down/exec", func(b *testing.B) {
		b.SetBytes(bulk)
		for b.Loop() {
			var n counter
			inGuest(b, s, driver.Streams{Stdout: &n}, "/server", "down", fmt.Sprint(bulk))
			n.check(b)
		}
	})
	b.Run("down/port", func(b *testing.B) {
		b.SetBytes(bulk)
		for b.Loop() {
			conn := connect(b, at[8081])
			n, err := io.Copy(io.Discard, conn)
			if err != nil || n != bulk {
				b.Fatalf("%d bytes, %v", n, err)
			}
			conn.Close()
		}
	})
	b.Run("up/exec", func(b *testing.B) {
		b.SetBytes(bulk)
		for b.Loop() {
			var said strings.Builder
			inGuest(b, s, driver.Streams{Stdin: io.LimitReader(zeros{}, bulk), Stdout: &said}, "/server", "up")
			if strings.TrimSpace(said.String()) != fmt.Sprint(bulk) {
				b.Fatal(said.String())
			}
		}
	})
	b.Run("up/port", func(b *testing.B) {
		b.SetBytes(bulk)
		for b.Loop() {
			conn := connect(b, at[8082])
			if _, err := io.Copy(conn, io.LimitReader(zeros{}, bulk)); err != nil {
				b.Fatal(err)
			}
			_ = conn.(*net.TCPConn).CloseWrite()
			said, err := io.ReadAll(conn)
			if err != nil || strings.TrimSpace(string(said)) != fmt.Sprint(bulk) {
				b.Fatalf("%q, %v", said, err)
			}
			conn.Close()
		}
	})
	b.Run("exec true beside a full stream", func(b *testing.B) {
		full := connect(b, at[8081]) // whose client reads nothing
		defer full.Close()
		for b.Loop() {
			inGuest(b, s, driver.Streams{}, "true")
		}
	})
}

// serveInGuest builds the server, takes it into the guest and waits until its ports listen.
func serveInGuest(b *testing.B, s *Store) {
	b.Helper()
	program := filepath.Join(b.TempDir(), "server")
	build := exec.Command("go", "build", "-o", program, "./testdata/server")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	f, err := os.Open(program)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	inGuest(b, s, driver.Streams{Stdin: f}, "sh", "-c", "cat > /server; busybox chmod 755 /server")
	inGuest(b, s, driver.Streams{}, "sh", "-c", fmt.Sprintf("/server serve %d </dev/null >/dev/null 2>&1 &", bulk))
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		ports, err := s.Ports(b.Context(), "bench")
		if err != nil {
			b.Fatal(err)
		}
		open := 0
		for _, p := range ports {
			if p.Listening {
				open++
			}
		}
		if open == 3 {
			return
		}
		if time.Now().After(deadline) {
			b.Fatalf("not all listen: %+v", ports)
		}
	}
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

// request asks for a page of 1 KiB and takes it whole.
func request(b *testing.B, address string) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		b.Error(err)
		return
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: guest\r\n\r\n")
	if n, err := io.Copy(io.Discard, conn); err != nil || n < 1024 {
		b.Errorf("%d bytes, %v", n, err)
	}
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
