package supervise

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/event"
	"microagent/runtime/guest/proto"
	"microagent/runtime/layout"
	"microagent/schema/printable"
	"microagent/schema/spec"
)

// standing is how a run stands, as far as a restart of it goes by that.
type standing struct {
	since   time.Time     // it has been ready; zero while it is not
	settles time.Duration // after which that counts, of a service without a probe
	was     time.Duration // for which it was ready, before it was lost
	once    bool          // it was ready since a command started the workspace, in this run or in one before
}

// begin is of a guest that is up. With a probe that says when it is ready.
func (s *standing) begin(w driver.WorkspaceSpec, boot time.Duration) {
	s.since, s.settles, s.was = time.Now(), 0, 0
	switch {
	case w.Ready != nil:
		s.since = time.Time{}
	case w.Process.Mode == driver.ModeService:
		s.settles = driver.Settling(boot)
	}
}

// take is of what the probe says.
func (s *standing) take(now driver.ReadyState) {
	switch {
	case now == driver.ReadyYes:
		s.since, s.once = time.Now(), true
	case !s.since.IsZero():
		s.was, s.since = time.Since(s.since), time.Time{}
	}
}

// end is of a run that ends now: whether it was ready once, and for how long it was so.
func (s *standing) end() (once bool, ready time.Duration) {
	if s.since.IsZero() {
		return s.once, s.was
	}
	if ready = time.Since(s.since); ready < s.settles {
		return s.once, 0
	}
	s.once = true
	return true, ready
}

// mayRestart says whether a run that ended so begins anew, when nobody asked for its end.
func mayRestart(w driver.WorkspaceSpec, ended driver.Run, once bool) bool {
	failed := ended.Phase == driver.PhaseFailed || ended.ExitCode != nil && *ended.ExitCode != 0
	switch policy := w.Restart.Of(w.Process.Mode); {
	case ended.Stopped, !once, ended.Phase.Alive():
		return false
	case w.Process.Mode == driver.ModeTask:
		return policy != spec.RestartNever && failed && !neverRan(ended)
	case policy == spec.RestartAlways:
		return true
	default:
		return policy == spec.RestartOnFailure && failed
	}
}

// neverRan says that the command could not be run: as in POSIX shells.
func neverRan(r driver.Run) bool {
	return r.ExitCode != nil && (*r.ExitCode == 126 || *r.ExitCode == 127)
}

// conclude makes the end of a run durable or, where its workspace begins anew, the beginning of the next. A request to
// stop that was there before wins; one that comes later finds the next run.
func (s *supervisor) conclude(end func(r *driver.Run)) error {
	s.mu.Lock()
	ended := s.run
	end(&ended)
	ended.EndWaiting()
	if costs(s.spec.Workspace, ended) {
		ended.LossOf = ended.ID
	}
	if ended.Ended == nil {
		at := now()
		ended.Ended = &at
	}
	s.last, s.run = &ended, ended
	if s.life != nil {
		s.life.ending.Store(true)
	}
	select {
	case <-s.stop:
	default:
		if once, ready := s.stand.end(); mayRestart(s.spec.Workspace, ended, once) {
			s.run = s.successor(ended, s.pause.next(ready))
		}
	}
	s.moved.ring()
	s.mu.Unlock()
	return s.saveRun()
}

// successor is the run that begins in the place of one that ended, after a pause.
func (s *supervisor) successor(ended driver.Run, pause time.Duration) driver.Run {
	r := driver.Run{
		ID: layout.NewID(), LossOf: ended.LossOf, Key: ended.Key, Phase: driver.PhaseStarting, Started: now(), PID: ended.PID, BootID: ended.BootID,
		Start: ended.Start, Tool: ended.Tool, DiskFaults: ended.DiskFaults, VMM: ended.VMM, Hardware: ended.Hardware, SpecDigest: ended.SpecDigest,
		Restarts: &driver.Restarts{Count: 1, Why: why(s.spec.Workspace, ended)},
	}
	if ended.Restarts != nil {
		r.Restarts.Count = ended.Restarts.Count + 1
	}
	if pause > 0 {
		next := r.Started.Add(pause)
		r.Restarts.Next = &next
		r.Waits = fmt.Sprintf("%s; it starts again at %s", r.Restarts.Why, next.Format(time.RFC3339))
	}
	return r
}

// why is how a run ended, in words.
func why(ws driver.WorkspaceSpec, ended driver.Run) string {
	what := "service"
	if ws.Process.Mode == driver.ModeTask {
		what = "task"
	}
	switch {
	case ended.Error != "":
		return printable.Line(ended.Error)
	case ended.ExitCode != nil && ended.OutOfMemory != "":
		return fmt.Sprintf("its %s ended with exit code %d: %s", what, *ended.ExitCode, driver.OutOfMemory(ended.OutOfMemory, ws.Memory))
	case ended.ExitCode != nil:
		return fmt.Sprintf("its %s ended with exit code %d", what, *ended.ExitCode)
	}
	return "its guest powered itself off"
}

// restarting says that the run that goes on is not the one that ended last.
func (s *supervisor) restarting() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last != nil && s.last.ID != s.run.ID
}

// endedRun is the run of the guest that is going away or gone: the run itself, unless the next has begun in its place.
func (s *supervisor) endedRun() driver.Run {
	run := s.snapshot()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last != nil {
		return *s.last
	}
	return run
}

// liveOn lives one run after the other, until one has no successor.
func (s *supervisor) liveOn(ready func()) error {
	for {
		err := s.live(s.guest, ready)
		for _, step := range s.lossSteps() {
			if err := step(); err != nil {
				s.log.Error("keep what was lost", "error", err)
			}
		}
		if !s.restarting() {
			return err
		}
		if again, err := s.awaitTurn(); !again {
			return err
		}
	}
}

// awaitTurn waits until the guest is to boot again; false is that a stop came first.
func (s *supervisor) awaitTurn() (again bool, err error) {
	if run := s.snapshot(); run.BacksOff() {
		t := time.NewTimer(time.Until(*run.Restarts.Next))
		defer t.Stop()
		select {
		case <-t.C:
		case <-s.stop:
			return false, s.recordEarlyStop()
		}
	}
	for _, step := range s.turnSteps() {
		err = errors.Join(err, step())
	}
	return true, err
}

// turnSteps are what begins the turn of a run that waited for it.
func (s *supervisor) turnSteps() []func() error {
	var restarts driver.Restarts
	return []func() error{
		func() error {
			s.mu.Lock()
			s.vm, s.last, s.forced = nil, nil, s.forced && s.wasCut()
			s.stand = standing{once: s.stand.once}
			s.mu.Unlock()
			return s.change(func(r *driver.Run) {
				restarts = *r.Restarts
				restarts.Next = nil
				r.Started, r.Waits, r.Restarts, r.LossOf = now(), "", &restarts, ""
			})
		},
		func() error {
			s.log.Info("starts again", "restarts", restarts.Count, "because", restarts.Why)
			s.tell(event.Event{Type: event.TypeRestart, Error: restarts.Why, Message: "what comes after it goes on"})
			return nil
		},
	}
}

// restartLost ends a guest that is ready no more, in good order as far as it answers, so that it begins anew.
func (s *supervisor) restartLost(ctx context.Context, w *watch, session *proto.Session, ends chan exited) error {
	grace := cmp.Or(s.spec.Workspace.StopGrace, defaultGrace)
	ctx, cancel := context.WithTimeout(ctx, grace+stopMargin)
	defer cancel()
	if ends != nil {
		s.signalMain(ctx, session, s.stopSignal())
		if _, ok := s.awaitEnd(w, ends, grace); !ok {
			s.signalMain(ctx, session, "SIGKILL")
		}
	}
	if err := session.Sync(ctx); err != nil {
		s.log.Warn("sync a guest that is ready no more", "error", printable.Line(err.Error()))
	}
	err := s.conclude(func(r *driver.Run) {
		r.Phase = driver.PhaseFailed
		r.Error = (&driver.NotReadyError{Workspace: s.spec.Workspace.Name, Readiness: *r.Readiness}).Error()
	})
	s.powerOff(ctx, w, session, 0)
	return err
}
