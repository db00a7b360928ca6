package term

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"
)

// screen is what was drawn, and tells when more was.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func newScreen() *screen { return &screen{more: make(chan struct{}, 1)} }

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case s.more <- struct{}{}:
	default:
	}
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// waitFor waits until all of want are drawn in one line.
func (s *screen) waitFor(t *testing.T, want ...string) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		for line := range strings.Lines(s.String()) {
			found := 0
			for _, w := range want {
				if strings.Contains(line, w) {
					found++
				}
			}
			if found == len(want) {
				return
			}
		}
		select {
		case <-s.more:
		case <-deadline:
			t.Fatalf("no line with %q came:\n%s", want, s)
		}
	}
}

func TestBars(t *testing.T) {
	s := newScreen()
	b := newBars(s)
	b.begin("run task/hello")
	b.update("pull image/x", "layer\x1b[2J", 3<<20, 12<<20)
	s.waitFor(t, "pull image/x: layer\\x1b[2J", "[=====>  ", "3 MiB of 12 MiB", "s")
	s.waitFor(t, "run task/hello", "0.")
	b.end("pull image/x")
	b.line("pull image/x: done in 0.1s")
	s.waitFor(t, "pull image/x: done in 0.1s")
	b.update("run task/hello", "", 0, 0)
	b.close()
	if n := strings.Count(s.String(), "done in 0.1s"); n != 1 {
		t.Errorf("the line is there %d times:\n%s", n, s)
	}
	if strings.Contains(s.String(), "\x1b[2J") {
		t.Error("what a step says reached the terminal raw")
	}
}

// What is said just before the end is not lost.
func TestBarsLastLine(t *testing.T) {
	for range 20 {
		s := newScreen()
		b := newBars(s)
		b.begin("a")
		b.end("a")
		b.line("a: done")
		b.close()
		if strings.Count(s.String(), "a: done\n") != 1 {
			t.Fatalf("the screen is %q", s)
		}
	}
}
