package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"microagent/cmd/microagent/cli/term"
	"microagent/plan"
	"microagent/runtime/driver"
	"microagent/runtime/event"
	"microagent/runtime/layout"
)

// stream is the events of one apply or destroy: shown on stderr, given as records on stdout with --json, and kept in
// the project's history. Its first record says what is run, its last one how it ended, also when nothing was begun.
type stream struct {
	a       *app
	command string
	run     string
	mu      sync.Mutex
	history *recorder       // nil: this command is none that the history keeps
	screen  *term.EventView // nil: nothing is under way
	begun   bool
	project string // once it has begun
	result  any    // of the last record
	unread  func()
}

var errUnread = fmt.Errorf("%w: nobody reads what it writes any more", errInterrupted)

// runStreamed runs a command whose events are a stream. When whoever reads that goes away, as head does, the command is
// interrupted as by ^C: what was begun comes to an end, and so does its history.
func (a *app) runStreamed(ctx context.Context, command string, do func(context.Context, *stream) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// Heard, it no longer ends the process: the write has an error.
	pipes := make(chan os.Signal, 1)
	signal.Notify(pipes, syscall.SIGPIPE)
	defer signal.Stop(pipes)
	s := &stream{a: a, command: command, run: layout.NewID(), unread: func() { cancel(errUnread) }}
	err := do(s.tellWaits(ctx), s)
	if errors.Is(context.Cause(ctx), errUnread) && (errors.Is(err, context.Canceled) || errors.Is(err, errInterrupted)) {
		err = errUnread
	}
	code := exitCode(err)
	last := event.Event{Type: event.TypeResult, Time: time.Now(), ExitCode: &code}
	if err != nil && s.result == nil { // the result has each failure
		last.Error, last.Next = err.Error(), a.reaching(driver.Next(err))
	}
	if s.result != nil {
		data, encoding := json.Marshal(s.result)
		if encoding != nil {
			return encoding
		}
		last.Result = data
	}
	s.begin("", nil)
	s.Emit(last)
	return err
}

// begin gives the first record, once. Without a history nothing is kept: a command that found nothing to do writes
// nothing.
func (s *stream) begin(project string, history driver.History) {
	if !s.begun {
		s.begun, s.project = true, project
		if history != nil {
			s.history = &recorder{history: history, project: project, say: s.a.Say}
		}
		s.Emit(event.Event{Type: event.TypeVersion, Time: time.Now(), Version: event.Version, Command: s.command, Project: project})
	}
}

// Emit implements event.Sink.
func (s *stream) Emit(e event.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.Run = s.run
	if s.screen != nil {
		s.screen.Emit(e)
	}
	if s.a.JSON && errors.Is(s.a.PrintLine(e), syscall.EPIPE) {
		s.unread()
	}
	if s.history != nil {
		s.history.keep(e)
	}
}

// reportNothing tells that a plan is empty.
func (s *stream) reportNothing(p *plan.Plan) error {
	s.result = applyRecord{Project: p.Project, Destroy: p.Destroy, Changes: []string{}}
	if s.a.JSON {
		s.begin(p.Project, nil)
		return nil
	}
	return s.a.Done(nil, "%s: nothing to do", p.Project)
}

// outputKept is how much of what one task writes the history keeps: the whole is in the workspace's log.
const outputKept = 64 << 10

// recorder keeps events in a project's history.
type recorder struct {
	history driver.History
	project string
	say     func(format string, args ...any)
	written map[string]int // bytes of output, by address
	broken  bool
	planned bool          // a plan is being walked
	held    []event.Event // what came before that: of a command that is refused nothing is kept
}

// keep records e, unless it is of the moment. A history that can't be written is told of once and hinders nothing.
func (r *recorder) keep(e event.Event) {
	switch e.Type {
	case event.TypeProgress, event.TypeWaiting, event.TypeReady: // the last was kept by the supervisor
		return
	case event.TypeOutput:
		if r.written == nil {
			r.written = map[string]int{}
		}
		before := r.written[e.Address]
		r.written[e.Address] += len(e.Text()) + 1
		if before > outputKept {
			return
		}
		if r.written[e.Address] > outputKept {
			e = event.Event{Type: event.TypeNote, Time: e.Time, Run: e.Run, Address: e.Address,
				Message: "it wrote more than the history keeps; logs has it"}
		}
	}
	r.held = append(r.held, e)
	if r.planned = r.planned || e.Type == event.TypePlan; !r.planned {
		return
	}
	for _, e := range r.held {
		r.record(e)
	}
	r.held = r.held[:0]
}

func (r *recorder) record(e event.Event) {
	data, err := json.Marshal(e)
	if err == nil {
		err = r.history.Record(r.project, data)
	}
	if err != nil && !r.broken {
		r.broken = true
		r.say("the history of project %s is not complete: %v", r.project, err)
	}
}
