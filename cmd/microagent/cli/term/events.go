package term

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"syscall"

	"microagent/runtime/event"
	"microagent/schema/printable"
)

// Events shows an apply's events on stderr: as lines, as bars on a terminal, or as records. The view is closed
// when the apply has ended. unread is called when nobody reads it any more.
func (t *Screen) Events(unread func()) *EventView {
	s := &EventView{w: t.Err, mode: t.progressMode(), verbose: t.Verbose, unread: unread}
	if s.mode == "tty" {
		s.bars = newBars(t.Err)
	}
	return s
}

// EventView is an event.Sink that shows.
type EventView struct {
	w       io.Writer
	mode    string
	verbose bool
	bars    *bars // nil when stderr is no terminal
	unread  func()
	mu      sync.Mutex
}

// Emit implements event.Sink.
func (s *EventView) Emit(e event.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.mode {
	case "quiet":
		return
	case "json":
		s.check(writeRecord(s.w, e))
		return
	}
	step := string(e.Action) + " " + e.Address
	switch e.Type {
	case event.TypeStart:
		if s.bars != nil {
			s.bars.begin(step)
		} else if s.verbose {
			s.line("%s: started", step)
		}
	case event.TypeProgress:
		if s.bars != nil {
			s.bars.update(step, e.Message, e.Done, e.Total)
		}
	case event.TypeWaiting:
		if s.bars == nil { // a bar shows the time by itself
			s.line("%s: still at it after %s", step, Seconds(e.Elapsed))
		}
	case event.TypeOutput:
		_, name, _ := strings.Cut(e.Address, "/")
		s.line("%s | %s", name, e.Text())
	case event.TypeDone:
		s.end(step, "%s: done in %s", step, Seconds(e.Elapsed))
	case event.TypeFailed:
		s.end(step, "%s: failed after %s", step, Seconds(e.Elapsed))
	case event.TypeCut:
		s.end(step, "%s: interrupted after %s", step, Seconds(e.Elapsed))
	case event.TypeUnneeded:
		s.line("%s: not needed, what it rests on is as it was", step)
	case event.TypeNote:
		s.line("%s: %s", e.Address, e.Message)
	}
}

func (s *EventView) end(step, format string, args ...any) {
	if s.bars != nil {
		s.bars.end(step)
	}
	s.line(format, args...)
}

func (s *EventView) line(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if s.bars != nil {
		s.bars.line(text)
		return
	}
	_, err := fmt.Fprintln(s.w, printable.Row(text))
	s.check(err)
}

func (s *EventView) check(err error) {
	if errors.Is(err, syscall.EPIPE) {
		s.unread()
	}
}

// Close leaves the terminal to others.
func (s *EventView) Close() {
	if s.bars != nil {
		s.bars.close()
	}
}

// Seconds is a span for people.
func Seconds(f float64) string { return fmt.Sprintf("%.1fs", f) }
