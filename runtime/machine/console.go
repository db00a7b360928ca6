package machine

import (
	"context"
	"strings"
	"sync"
	"time"

	"microagent/ch"
	"microagent/runtime/machine/rotate"
	"microagent/schema/printable"
)

// Console is a guest's serial console: kept in a bounded log, its last lines in memory.
type Console struct {
	log *rotate.Writer

	mu      sync.Mutex
	partial []byte
	lines   []string
	panic   string
}

// tailLines is how many lines an error shows; maxLine bounds one line.
const (
	tailLines = 25
	maxLine   = 512
)

func newConsole(path string) (*Console, error) {
	log, err := rotate.Create(path, consoleLimit)
	if err != nil {
		return nil, err
	}
	return &Console{log: log}, nil
}

// follow reads the console until the VMM is gone. A guest reboot can make the socket anew: then it dials again.
func (c *Console) follow(dial ch.DialFunc, exited <-chan struct{}) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for {
		if conn, err := dial(ctx); err == nil {
			stop := make(chan struct{})
			go func() {
				// What the VMM wrote before it ended is read to its end; a connection that stays open then is closed.
				select {
				case <-exited:
					_ = conn.SetReadDeadline(time.Now().Add(time.Second))
				case <-stop:
				}
			}()
			c.drain(conn.Read)
			close(stop)
			conn.Close()
		}
		select {
		case <-exited:
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (c *Console) drain(read func([]byte) (int, error)) {
	buf := make([]byte, 16<<10)
	for {
		n, err := read(buf)
		if n > 0 {
			// A full disk must not stop the guest, whose console blocks when nobody reads.
			_, _ = c.log.Write(buf[:n])
			c.take(buf[:n])
		}
		if err != nil {
			return
		}
	}
}

func (c *Console) take(data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range data {
		if b != '\n' {
			if len(c.partial) < maxLine {
				c.partial = append(c.partial, b)
			}
			continue
		}
		c.line(strings.TrimRight(string(c.partial), "\r"))
		c.partial = c.partial[:0]
	}
}

func (c *Console) line(text string) {
	if _, what, ok := strings.Cut(text, "Kernel panic - not syncing: "); ok && c.panic == "" {
		c.panic = printable.Line(what)
	}
	c.lines = append(c.lines, printable.Text(text))
	if len(c.lines) > 4*tailLines {
		c.lines = append(c.lines[:0], c.lines[len(c.lines)-tailLines:]...)
	}
}

// Tail gives the last lines, control characters escaped. After a kernel panic they begin shortly before it when
// it is still among them.
func (c *Console) Tail() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	lines := append([]string(nil), c.lines...)
	if len(c.partial) > 0 {
		lines = append(lines, printable.Text(string(c.partial)))
	}
	end := len(lines)
	for i, line := range lines {
		if strings.Contains(line, "Kernel panic - not syncing: ") {
			end = min(i+tailLines/2, len(lines))
			break
		}
	}
	return lines[max(0, end-tailLines):end]
}

// Panic is what the guest's kernel said when it panicked, "" when it did not.
func (c *Console) Panic() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.panic
}

func (c *Console) close() { c.log.Close() }
