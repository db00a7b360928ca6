package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/guest/proto"
	"microagent/runtime/supervise/control"
)

// life is a guest from when it is configured to its end or its reboot.
type life struct {
	session *proto.Session
	run     string        // the id of the run that it is of
	over    chan struct{} // closed at its end
	why     error         // what a call that was under way is told; meaningful after over
	ended   string        // why jobs ended with it; meaningful after over
	ending  atomic.Bool   // the run is over, and the guest goes
}

// end says how the life of a workspace's guest ended: it reboots, err is why the run can't go on, or the run is over.
func (l *life) end(workspace string, reboots bool, err error, run driver.Run) {
	l.ended = control.JobRunEnded
	switch crash, crashed := errors.AsType[*driver.CrashError](err); {
	case reboots:
		l.why, l.ended = control.RebootedDuringCall(workspace), control.JobGuestRebooted
	case crashed:
		l.why, l.ended = crash, "the guest broke: "+crash.Reason
	default:
		if err != nil {
			run.Phase, run.Error = driver.PhaseFailed, err.Error()
		}
		l.why = control.EndedDuringCall(workspace, run)
	}
	close(l.over)
}

// withGuest is withLife for a call that the session is enough for.
func (s *supervisor) withGuest(ctx context.Context, op string, call func(context.Context, *proto.Session) error) error {
	return s.withLife(ctx, op, func(ctx context.Context, l *life) error { return call(ctx, l.session) })
}

// withLife makes a call to the guest that is there now. When it goes away in the middle of the call, the error says
// why.
func (s *supervisor) withLife(ctx context.Context, op string, call func(context.Context, *life) error) error {
	s.mu.Lock()
	life, phase, waits := s.life, s.run.Phase, s.run.Waits
	s.mu.Unlock()
	if life == nil {
		why := fmt.Sprintf("the guest is not ready; the run is %s", phase)
		if waits != "" {
			why = "the guest is not there: " + waits
		} else if phase != driver.PhaseStarting && phase.Alive() {
			why = "the guest reboots"
		}
		return &driver.Error{
			Class: driver.ErrRefused, Op: op, Object: s.spec.Workspace.Name, Err: errors.New(why), Next: "microagent status " + s.spec.Workspace.Name,
		}
	}
	calling, cancel := s.whileGuest(ctx)
	defer cancel()
	err := call(calling, life)
	cut := err != nil && s.wasCut()
	if ctx.Err() != nil || !cut && !errors.Is(err, driver.ErrUnavailable) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	select { // a connection ends before it is known why
	case <-life.over:
		return life.why
	case <-ctx.Done():
		return err
	case <-time.After(2 * settle):
	}
	return s.explainSilence(op, err)
}

// explainSilence is the error of a call that a guest does not answer that is there all the same: its VMM stands still, or its
// kernel does. What says so already stays as it is.
func (s *supervisor) explainSilence(op string, err error) error {
	name := s.spec.Workspace.Name
	if driver.Next(err) != "" {
		return err
	}
	return &driver.Error{Class: driver.ErrUnavailable, Op: op, Object: name, Err: fmt.Errorf("the guest does not answer: %w", err),
		Next: "to end it: microagent halt --force " + name}
}
