package cli

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"microagent/cmd/microagent/cli/term"
	"microagent/runtime/driver"
)

// slowStart starts nothing until it is let.
type slowStart struct {
	driver.Runs
	let chan struct{}
}

func (s slowStart) Start(ctx context.Context, _ string, _ driver.StartOptions) (driver.Run, error) {
	select {
	case <-s.let:
		return driver.Run{}, nil
	case <-ctx.Done():
		return driver.Run{}, ctx.Err()
	}
}

// watched is a terminal that notes when a text was drawn.
type watched struct {
	text string
	mu   sync.Mutex
	all  strings.Builder
	seen func()
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all.Write(p)
	if strings.Contains(w.all.String(), w.text) {
		w.seen()
	}
	return len(p), nil
}

func (w *watched) shown() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.all.String()
}

// Who runs a command sees that its guest boots.
func TestABootIsShown(t *testing.T) {
	s := slowStart{let: make(chan struct{})}
	terminal := &watched{text: "start one", seen: sync.OnceFunc(func() { close(s.let) })}
	a := &app{Screen: &term.Screen{Err: terminal, Progress: "tty", Getenv: func(string) string { return "" }}}
	w := &world{}
	w.Runs, w.Workspaces = s, newBench(t).workspaces
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // of a start that shows nothing
	defer cancel()
	if _, err := a.startGuest(ctx, w, "one", driver.StartOptions{}, true); err != nil {
		t.Fatalf("%v, and all that was shown is %q", err, terminal.shown())
	}
}
