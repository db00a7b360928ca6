package supervise

import (
	"context"
	"io"
	"strings"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/event"
	"microagent/runtime/guest/proto"
	"microagent/runtime/supervise/control"
	"microagent/runtime/supervise/readiness"
	"microagent/schema/printable"
	"microagent/schema/spec"
)

// probe follows the readiness of a guest that was configured, until stop. It closes lost when the guest is to begin
// anew.
func (s *supervisor) probe(ctx context.Context, session *proto.Session, line *readiness.Line, lost chan<- struct{}) (stop func()) {
	ready := s.spec.Workspace.Ready
	if ready == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		restarts := ready.OnLoss == spec.OnLossRestart
		count := s.countProbes()
		readiness.Follow(ctx, *ready, probed{session}, line.Found(), func(now driver.Readiness, changed bool, failed int) {
			s.setReadiness(now, changed)
			count(failed, false)
			if restarts && now.State == driver.ReadyLost {
				restarts = false
				close(lost)
			}
		})
		if ctx.Err() == nil {
			count(0, true)
		}
	}()
	return func() { cancel(); <-done }
}

// probedLine is the text that is looked for in what the process writes, "" for none.
func (s *supervisor) probedLine() string {
	if ready := s.spec.Workspace.Ready; ready != nil {
		return ready.Log
	}
	return ""
}

// setReadiness notes what the probe says, in run.json as well, where status reads it. What it says of a run that has ended is
// of nobody any more: the run may be the next one already. That a run which is asked to stop is ready no more is no news.
func (s *supervisor) setReadiness(now driver.Readiness, changed bool) {
	now.Words = printable.Line(now.Words)
	_, stopping := s.stopRequested()
	s.mu.Lock()
	over, old := s.last != nil || stopping, s.run.Readiness
	if !over {
		s.run.Readiness = &now
	}
	s.mu.Unlock()
	if over {
		return
	}
	if !changed {
		if old == nil || old.Words != now.Words {
			if err := s.writeRun(); err != nil { // not worth the room that is reserved for ends
				s.log.Error("write run", "error", err)
			}
		}
		return
	}
	s.log.Info("readiness", "probe", now.Probe, "state", now.State, "words", now.Words)
	switch now.State {
	case driver.ReadyYes:
		s.tell(event.Event{Type: event.TypeReady, Message: now.Probe})
	case driver.ReadyNever, driver.ReadyLost:
		why := &driver.NotReadyError{Workspace: s.spec.Workspace.Name, Readiness: now}
		s.tell(event.Event{Type: event.TypeNotReady, Error: why.Error()})
	}
	if err := s.change(func(*driver.Run) {
		if s.last == nil {
			s.stand.take(now.State)
		}
	}); err != nil {
		s.log.Error("write run", "error", err)
	}
}

// probes are those that were made of all of the supervisor's runs.
type probes struct {
	failed int  // how many failed that counted
	over   bool // no more can be made in this boot
}

// countProbes begins to count those of one boot.
func (s *supervisor) countProbes() (count func(failed int, over bool)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.probes.over = false
	before := s.probes.failed
	return func(failed int, over bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.probes = probes{max(before+failed, s.probes.failed), over}
		s.moved.ring()
	}
}

// Ready returns when the run is ready or was given up, or has ended. What was given up before is judged anew: it is given up
// again when as many probes have failed since.
func (s calls) Ready(ctx context.Context) (driver.Run, error) {
	until := -1 // how many have to have failed
	for {
		s.mu.Lock()
		moved, probes := s.moved.wait(), s.probes
		s.mu.Unlock()
		run := s.snapshot()
		decided := run.Readiness != nil && run.Readiness.Decided()
		if until < 0 {
			if until = 0; decided {
				until = probes.failed + max(s.spec.Workspace.Ready.Failures, 1)
			}
		}
		switch {
		case !run.Phase.Alive():
			return run, control.EndedDuringCall(s.spec.Workspace.Name, run)
		case run.Phase == driver.PhaseStarting:
		case s.spec.Workspace.Ready == nil, decided && (run.Readiness.State == driver.ReadyYes || probes.failed >= until || probes.over):
			return run, run.NotReady(s.spec.Workspace.Name, s.spec.Workspace.Process.Mode)
		}
		select {
		case <-moved:
		case <-s.ended:
		case <-ctx.Done():
			return run, ctx.Err()
		}
	}
}

// probed is a guest that is asked by its session.
type probed struct{ session *proto.Session }

func (g probed) Probe(ctx context.Context, r spec.Ready, say func(error)) <-chan readiness.Probed {
	return told(ctx, say, func() (*proto.Probes, error) {
		return g.session.Probe(ctx, proto.Command{Argv: r.Exec}, r.Interval, r.Timeout)
	}, func(p proto.Probed) readiness.Probed {
		return readiness.Probed{Code: p.Code, TimedOut: p.TimedOut, Said: lastLines(p.Said)}
	})
}

func (g probed) Listening(ctx context.Context, port uint16, say func(error)) <-chan bool {
	return told(ctx, say, func() (*proto.Listening, error) { return g.session.Listening(ctx, []proto.Port{{Number: port}}) }, first)
}

func (g probed) Changed(ctx context.Context, path string, say func(error)) <-chan bool {
	return told(ctx, say, func() (*proto.Listening, error) { return g.session.Changed(ctx, path) }, first)
}

func first(all []bool) bool { return all[0] }

// watched is a stream of the guest that tells of something.
type watched[T any] interface {
	Next() (T, error)
	io.Closer
}

// tellPause is between two things that a guest tells: of a hostile one each could be a change, which is written to disk.
const tellPause = 20 * time.Millisecond

// told gives what a stream of the guest tells by a channel.
func told[W watched[T], T, U any](ctx context.Context, say func(error), open func() (W, error), as func(T) U) <-chan U {
	to := make(chan U)
	go func() {
		defer close(to)
		w, err := open()
		if err != nil {
			say(err)
			return
		}
		closing := func() { _ = w.Close() }
		defer context.AfterFunc(ctx, closing)()
		defer closing()
		for {
			now, err := w.Next()
			if err != nil {
				say(err)
				return
			}
			select {
			case to <- as(now):
			case <-ctx.Done():
				return
			}
			select {
			case <-time.After(tellPause):
			case <-ctx.Done():
				return
			}
		}
	}()
	return to
}

// lastLines is the last lines of a text that are not empty, as one.
func lastLines(text string) string {
	const most = 3
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[max(0, len(lines)-most):], "; ")
}
