package cli

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"microagent/apply/event"
)

// events shows an apply's events on stderr: lines, one line that is written over on a terminal, or records.
func (a *app) events() *eventSink {
	return &eventSink{w: a.stderr, mode: a.progressMode(), verbose: a.flags.verbose}
}

type eventSink struct {
	w       io.Writer
	mode    string
	verbose bool
	mu      sync.Mutex
	over    bool // a line that will be written over is on the terminal
	last    time.Time
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
	switch e.Type {
	case event.TypeStart:
		if s.mode == "tty" {
			s.transient(fmt.Sprintf("%s %s", e.Action, e.Address))
		} else if s.verbose {
			s.line("%s %s: started", e.Action, e.Address)
		}
	case event.TypeProgress:
		if s.mode == "tty" && time.Since(s.last) > 100*time.Millisecond {
			s.last = time.Now()
			s.transient(fmt.Sprintf("%s %s: %s %s", e.Action, e.Address, e.Message, amount(e.Done, e.Total)))
		}
	case event.TypeWaiting:
		s.line("%s", strings.TrimSpace(fmt.Sprintf("%s %s: still at it after %s %s", e.Action, e.Address, seconds(e.Elapsed), e.Message)))
	case event.TypeDone:
		s.line("%s %s: done in %s", e.Action, e.Address, seconds(e.Elapsed))
	case event.TypeFailed:
		s.line("%s %s: failed after %s", e.Action, e.Address, seconds(e.Elapsed))
	case event.TypeNote:
		s.line("%s: %s", e.Address, e.Message)
	}
}

func (s *eventSink) transient(text string) {
	if len(text) > 120 {
		text = text[:120]
	}
	fmt.Fprintf(s.w, "\r\x1b[K%s", printable(text))
	s.over = true
}

func (s *eventSink) line(format string, args ...any) {
	s.clear()
	fmt.Fprintln(s.w, printable(fmt.Sprintf(format, args...)))
}

func (s *eventSink) clear() {
	if s.over {
		fmt.Fprint(s.w, "\r\x1b[K")
		s.over = false
	}
}

// close leaves the terminal with nothing to write over.
func (s *eventSink) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
}

func seconds(f float64) string { return fmt.Sprintf("%.1fs", f) }

// amount is bytes done, of a total when it is known; a bar would say no more.
func amount(done, total int64) string {
	switch {
	case total > 0:
		return size(done) + " of " + size(total)
	case done > 0:
		return size(done)
	}
	return ""
}
