package workspace

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"microagent/runtime/driver"
)

// notifying tells when a text was written to it.
type notifying struct {
	mu   sync.Mutex
	text strings.Builder
	wait map[string]chan struct{}
}

func (n *notifying) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.text.Write(p)
	for text, c := range n.wait {
		if strings.Contains(n.text.String(), text) {
			close(c)
			delete(n.wait, text)
		}
	}
	return len(p), nil
}

func (n *notifying) until(t *testing.T, text string) {
	t.Helper()
	n.mu.Lock()
	if strings.Contains(n.text.String(), text) {
		n.mu.Unlock()
		return
	}
	c := make(chan struct{})
	if n.wait == nil {
		n.wait = map[string]chan struct{}{}
	}
	n.wait[text] = c
	n.mu.Unlock()
	select {
	case <-c:
	case <-time.After(time.Minute):
		t.Fatalf("%q never came", text)
	}
}

func TestExecStreams(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	create(t, s, spec("one", idle))
	run := start(t, s, "one")
	t.Run("terminal", func(t *testing.T) {
		sizes := make(chan driver.WindowSize, 2)
		sizes <- driver.WindowSize{Rows: 24, Columns: 80}
		in, typing := io.Pipe()
		var out notifying
		done := make(chan int, 1)
		go func() {
			code, err := s.Exec(t.Context(), "one", driver.ExecSpec{Argv: []string{"sh", "-c", "stty size; until [ \"$(stty size)\" = '50 132' ]; do sleep 0.1; done; stty size; read x; exit 9"}},
				driver.Streams{Stdin: in, Stdout: &out, Terminal: true, Resize: sizes})
			if err != nil {
				t.Error(err)
			}
			done <- code
		}()
		out.until(t, "24 80")
		sizes <- driver.WindowSize{Rows: 50, Columns: 132}
		out.until(t, "50 132")
		if _, err := io.WriteString(typing, "\n"); err != nil {
			t.Fatal(err)
		}
		if code := <-done; code != 9 {
			t.Errorf("code %d", code)
		}
		typing.Close()
	})
	t.Run("clock", func(t *testing.T) { // which a guest measures by itself, wrongly, when it is not told
		text, err := os.ReadFile("/proc/cpuinfo")
		if err != nil {
			t.Fatal(err)
		}
		told := strings.Contains(sh(t, s, "one", "cat /proc/cmdline"), " tsc_early_khz=")
		if emulated := !run.Hardware && strings.HasPrefix(run.VMM, "qemu"); emulated && strings.Contains(string(text), " constant_tsc ") && !told {
			t.Error("the guest is not told how fast its clock is")
		}
	})
	t.Run("signal", func(t *testing.T) {
		signals := make(chan string, 1)
		var out notifying
		done := make(chan int, 1)
		go func() {
			code, err := s.Exec(t.Context(), "one", driver.ExecSpec{Argv: []string{"sh", "-c", "trap 'exit 5' INT; echo up; while true; do sleep 1; done"}},
				driver.Streams{Stdout: &out, Signals: signals})
			if err != nil {
				t.Error(err)
			}
			done <- code
		}()
		out.until(t, "up")
		signals <- "INT"
		if code := <-done; code != 5 {
			t.Errorf("code %d", code)
		}
	})
	t.Run("timeout with open stdin", func(t *testing.T) {
		in, typing := io.Pipe()
		defer typing.Close()
		_, err := s.Exec(t.Context(), "one", driver.ExecSpec{Argv: []string{"sleep", "1000"}, Timeout: 500 * time.Millisecond}, driver.Streams{Stdin: in})
		if !errors.Is(err, driver.ErrTimeout) {
			t.Errorf("%v", err)
		}
	})
	t.Run("not found", func(t *testing.T) {
		var errs strings.Builder
		code, err := s.Exec(t.Context(), "one", driver.ExecSpec{Argv: []string{"nonesuch"}}, driver.Streams{Stderr: &errs})
		if err != nil || code != 127 || errs.Len() == 0 {
			t.Errorf("%d, %q, %v", code, errs.String(), err)
		}
	})
	t.Run("the caller goes away", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var out notifying
		done := make(chan error, 1)
		go func() {
			_, err := s.Exec(ctx, "one", driver.ExecSpec{Argv: []string{"sh", "-c", "echo up; exec sleep 12345"}},
				driver.Streams{Stdout: &out})
			done <- err
		}()
		out.until(t, "up")
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		eventually(t, "the process is hung up on", func() bool {
			code, err := s.Exec(t.Context(), "one", driver.ExecSpec{Argv: []string{"sh", "-c", "ps | grep -q '[s]leep 12345'"}}, driver.Streams{})
			return err == nil && code == 1
		})
	})
	t.Run("files", func(t *testing.T) {
		client, err := s.Running("copy", "one")
		if err != nil {
			t.Fatal(err)
		}
		var sent bytes.Buffer
		tw := tar.NewWriter(&sent)
		if err := tw.WriteHeader(&tar.Header{Name: "a b", Typeflag: tar.TypeReg, Mode: 0o640, Size: 5}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(tw, "hello"); err != nil {
			t.Fatal(err)
		}
		if err := tw.Close(); err != nil {
			t.Fatal(err)
		}
		if err := client.Put(t.Context(), "/new/dir", &sent); err != nil {
			t.Fatal(err)
		}
		var fetched bytes.Buffer
		if err := client.Fetch(t.Context(), "/new/dir/a b", 1<<20, &fetched); err != nil {
			t.Fatal(err)
		}
		tr := tar.NewReader(&fetched)
		if _, err := tr.Next(); err != nil {
			t.Fatal(err)
		}
		if data, err := io.ReadAll(tr); err != nil || string(data) != "hello" {
			t.Errorf("fetched %q, %v", data, err)
		}
		if err := client.Fetch(t.Context(), "/none", 1<<20, io.Discard); !errors.Is(err, driver.ErrNotFound) {
			t.Errorf("fetch of nothing: %v", err)
		}
		info, err := client.Stat(t.Context(), "/etc/release", true)
		if err != nil || info.Size != 8 || !info.Mode.IsRegular() {
			t.Errorf("stat: %+v, %v", info, err)
		}
		if err := client.Sync(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// BenchmarkStart measures from Start's call to a guest that is ready; what counts is the median.
func BenchmarkStart(b *testing.B) {
	s, name := benched(b)
	var took []time.Duration
	for b.Loop() {
		began := time.Now()
		if _, err := s.Start(context.Background(), name, driver.StartOptions{}); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
		b.StopTimer()
		if _, err := s.Stop(context.Background(), name, driver.StopOptions{}); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	reportMedian(b, took)
}

// BenchmarkExec measures `true` in a running guest.
func BenchmarkExec(b *testing.B) {
	s, name := benched(b)
	if _, err := s.Start(context.Background(), name, driver.StartOptions{}); err != nil {
		b.Fatal(err)
	}
	var took []time.Duration
	for b.Loop() {
		began := time.Now()
		code, err := s.Exec(context.Background(), name, driver.ExecSpec{Argv: []string{"true"}}, driver.Streams{})
		if err != nil || code != 0 {
			b.Fatal(code, err)
		}
		took = append(took, time.Since(began))
	}
	reportMedian(b, took)
}

func reportMedian(b *testing.B, took []time.Duration) {
	b.Helper()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "median-ms")
}

func benched(b *testing.B) (*Store, string) {
	b.Helper()
	s := open(b, b.TempDir())
	if _, err := s.Create(context.Background(), spec("one", idle), nil); err != nil {
		b.Fatal(err)
	}
	return s, "one"
}
