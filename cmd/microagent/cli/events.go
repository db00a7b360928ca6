package cli

import (
	"fmt"
	"io"
	"strings"
	"sync"

	"microagent/runtime/event"
	"microagent/schema/printable"
)

// events shows an apply's events on stderr: as lines, as bars on a terminal, or as records. The sink is closed
// when the apply has ended.
func (a *app) events() *eventSink {
	s := &eventSink{w: a.stderr, mode: a.progressMode(), verbose: a.flags.verbose}
	if s.mode == "tty" {
		s.bars = newBars(a.stderr)
	}
	return s
}

type eventSink struct {
	w       io.Writer
	mode    string
	verbose bool
	bars    *bars // nil when stderr is no terminal
	mu      sync.Mutex
}

// Emit implements event.Sink.
func (s *eventSink) Emit(e event.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.mode {
	case "quiet":
		return
	case "json":
		_ = writeRecord(s.w, e)
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
			s.line("%s: still at it after %s", step, seconds(e.Elapsed))
		}
	case event.TypeOutput:
		_, name, _ := strings.Cut(e.Address, "/")
		s.line("%s | %s", name, value(e.Line))
	case event.TypeDone:
		s.end(step, "%s: done in %s", step, seconds(e.Elapsed))
	case event.TypeFailed:
		s.end(step, "%s: failed after %s", step, seconds(e.Elapsed))
	case event.TypeCut:
		s.end(step, "%s: interrupted after %s", step, seconds(e.Elapsed))
	case event.TypeNote:
		s.line("%s: %s", e.Address, e.Message)
	}
}

func (s *eventSink) end(step, format string, args ...any) {
	if s.bars != nil {
		s.bars.end(step)
	}
	s.line(format, args...)
}

func (s *eventSink) line(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if s.bars != nil {
		s.bars.line(text)
		return
	}
	fmt.Fprintln(s.w, printable.Line(text))
}

// close leaves the terminal to others.
func (s *eventSink) close() {
	if s.bars != nil {
		s.bars.close()
	}
}

func seconds(f float64) string { return fmt.Sprintf("%.1fs", f) }
