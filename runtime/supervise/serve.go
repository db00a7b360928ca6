package supervise

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/guest/proto"
	"microagent/schema/printable"
	"microagent/schema/spec"
)

// Limits of the end of a run.
const (
	syncLimit     = 2 * time.Minute
	fetchLimit    = 30 * time.Minute
	powerOffLimit = 20 * time.Second
	killLimit     = 5 * time.Second // for a guest to take a signal
)

// How long a guest may take to bring its disks up, journals replayed and file systems grown, and then to start its
// process.
const (
	setupLimit = 10 * time.Minute
	startLimit = time.Minute
)

// limitSetup is ctx for bringing disks up: it ends when a stop is asked for as well.
func (s *supervisor) limitSetup(ctx context.Context, more time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancelLimit := context.WithTimeout(ctx, setupLimit+more)
	ctx, cancelStop := s.untilStop(ctx)
	return ctx, func() { cancelStop(); cancelLimit() }
}

// stopSignal is what asks the process to end.
func (s *supervisor) stopSignal() string {
	return cmp.Or(s.spec.Workspace.Process.StopSignal, "SIGTERM")
}

// signalMain signals the main process, of a guest that may not answer.
func (s *supervisor) signalMain(ctx context.Context, session *proto.Session, signal string) {
	ctx, cancel := context.WithTimeout(ctx, killLimit)
	defer cancel()
	err := session.Signal(ctx, signal)
	if errors.Is(err, driver.ErrInvalid) { // an image may name one that Linux has not; docker takes SIGTERM as well
		s.log.Warn("SIGTERM stands for the stop signal", "signal", signal, "error", printable.Line(err.Error()))
		err = session.Signal(ctx, "SIGTERM")
	}
	if err != nil {
		s.log.Warn("signal the process", "signal", signal, "error", printable.Line(err.Error()))
	}
}

type exited struct {
	exit proto.Exit
	err  error
}

// serve follows a guest that is up until its process ends, a stop is asked for, it breaks, or is to begin anew.
func (s *supervisor) serve(ctx context.Context, w *watch, session *proto.Session, process *proto.Process, lost <-chan struct{}) (again bool, err error) {
	var ends chan exited
	if process != nil {
		ends = make(chan exited, 1)
		waiting, cancel := context.WithCancel(ctx)
		finished := make(chan struct{})
		go func() {
			defer close(finished)
			exit, err := process.Wait(waiting)
			ends <- exited{exit, err}
		}()
		defer func() { cancel(); <-finished }()
	}
	select {
	case <-w.done:
		return false, s.endWithVMM(w)
	case <-w.rebooted:
		return s.judgeReboot(w)
	case <-session.Done():
		return s.explainDisconnect(w)
	case <-s.stop:
		return false, s.shutDown(ctx, w, session, ends)
	case <-lost:
		return false, s.restartLost(ctx, w, session, ends)
	case e := <-ends:
		switch {
		case e.err != nil && s.wasCut():
			return false, s.recordEarlyStop()
		case e.err != nil && errors.Is(e.err, driver.ErrUnavailable):
			return s.explainDisconnect(w)
		}
		return false, s.finish(ctx, w, session, e, false)
	}
}

// explainDisconnect waits for what explains that the connection to the guest ended.
func (s *supervisor) explainDisconnect(w *watch) (bool, error) {
	select {
	case <-w.done:
		return false, s.endWithVMM(w)
	case <-w.rebooted:
		return s.judgeReboot(w)
	case <-time.After(settle):
		return false, w.vm.Crash("running", "the guest's agent is gone")
	}
}

func (s *supervisor) judgeReboot(w *watch) (bool, error) {
	if s.spec.Workspace.Process.Mode == driver.ModeTask {
		return false, w.vm.Crash("running", "the guest rebooted in the middle of its task")
	}
	if w.vm.Console().Panic() != "" {
		return false, w.vm.Crash("running", "the guest rebooted")
	}
	return true, nil
}

// endWithVMM tells a guest that was powered off from inside from a VMM that died.
func (s *supervisor) endWithVMM(w *watch) error {
	if _, stop := s.stopRequested(); stop {
		return s.recordEarlyStop()
	}
	powerOff := w.powerOff && !w.vm.Failed()
	if powerOff && s.spec.Workspace.Process.Mode != driver.ModeTask {
		return s.conclude(func(r *driver.Run) {
			r.Phase = driver.PhaseFinished
			r.Diagnostics = append(r.Diagnostics, "the guest powered itself off")
		})
	}
	reason := w.vm.Ended()
	if powerOff {
		reason = "the guest powered off in the middle of its task"
	}
	return w.vm.Crash("running", reason)
}

// shutDown carries out a stop: the process gets its stop signal and the grace, then it is killed.
func (s *supervisor) shutDown(ctx context.Context, w *watch, session *proto.Session, ends chan exited) error {
	req, _ := s.stopRequested()
	if req.force {
		w.vm.Kill()
		return s.recordEarlyStop()
	}
	defer s.syncAhead(ctx, session)()
	if ends == nil {
		s.stopJobs(w, session, req.until)
		return s.powerOffStopped(ctx, w, session, max(0, time.Until(req.until)))
	}
	jobs := make(chan struct{})
	go func() {
		defer close(jobs)
		s.stopJobs(w, session, req.until)
	}()
	defer func() { <-jobs }()
	s.signalMain(ctx, session, s.stopSignal())
	e, ok := s.awaitEnd(w, ends, time.Until(req.until))
	if !ok {
		s.setForced()
		s.signalMain(ctx, session, "SIGKILL")
		e, ok = s.awaitEnd(w, ends, stopMargin)
	}
	switch {
	case ok && e.err == nil:
	case !ok, s.wasCut():
		w.vm.Kill()
		return s.recordCut()
	case errors.Is(e.err, driver.ErrUnavailable):
		return s.recordEarlyStop()
	}
	<-jobs
	return s.finish(ctx, w, session, e, true)
}

// syncAhead brings what the guest wrote until now to its disks while it is stopped: the sync at its end is short then,
// and a guest that is cut short loses less.
func (s *supervisor) syncAhead(ctx context.Context, session *proto.Session) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := session.Sync(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("sync ahead", "error", printable.Line(err.Error()))
		}
	}()
	return func() { cancel(); <-done }
}

// recordCut is recordEarlyStop of a guest that did not stop in time.
func (s *supervisor) recordCut() error {
	lost := s.describeLoss("its process had not ended; " + lostWrites)
	return s.conclude(func(r *driver.Run) {
		r.Phase, r.Stopped = driver.PhaseFinished, true
		r.Diagnostics = append(r.Diagnostics, lost)
	})
}

func (s *supervisor) awaitEnd(w *watch, ends chan exited, limit time.Duration) (exited, bool) {
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case e := <-ends:
		return e, true
	case <-w.done:
		return exited{err: driver.ErrUnavailable}, true
	case <-t.C:
		return exited{}, false
	}
}

// powerOffStopped stops a guest without a process of its own.
func (s *supervisor) powerOffStopped(ctx context.Context, w *watch, session *proto.Session, grace time.Duration) error {
	diagnostics := s.powerOff(ctx, w, session, grace)
	return s.conclude(func(r *driver.Run) {
		r.Phase, r.Stopped = driver.PhaseFinished, true
		r.Diagnostics = append(r.Diagnostics, diagnostics...)
	})
}

// finish is the end of a task or service: sync, outputs onto the host's disk, run.json, shutdown, in this order.
func (s *supervisor) finish(ctx context.Context, w *watch, session *proto.Session, e exited, stopped bool) error {
	if stopped || s.spec.Workspace.Restart.Of(s.spec.Workspace.Process.Mode) == spec.RestartNever {
		s.output.End()
	}
	var diagnostics []string
	if e.err != nil {
		diagnostics = append(diagnostics, "output of the process: "+printable.Line(e.err.Error()))
	}
	if e.exit.Message != "" {
		diagnostics = append(diagnostics, printable.Line(e.exit.Message))
	}
	syncing, cancel := context.WithTimeout(ctx, syncLimit)
	err := session.Sync(syncing)
	cancel()
	switch {
	case err == nil:
	case s.wasCut():
		diagnostics = append(diagnostics, s.describeLoss(lostWrites))
	case errors.Is(err, driver.ErrUnavailable):
		return w.vm.Crash("shutdown", "the guest broke while it wrote its disks")
	default:
		diagnostics = append(diagnostics, printable.Line(err.Error()))
	}
	var collected []driver.Fetched
	if s.spec.Workspace.Process.Mode == driver.ModeTask {
		collected = s.collectLast(ctx, session)
	}
	if err := s.conclude(func(r *driver.Run) {
		code := e.exit.Code
		r.Phase, r.ExitCode, r.TimedOut, r.Stopped = driver.PhaseFinished, &code, e.exit.TimedOut, stopped
		r.OutOfMemory = printable.Line(e.exit.OutOfMemory)
		r.Collected, r.Diagnostics = collected, append(r.Diagnostics, diagnostics...)
	}); err != nil {
		return err
	}
	if more := s.powerOff(ctx, w, session, 0); len(more) > 0 {
		return s.change(func(r *driver.Run) {
			if s.last.ID == r.ID { // of one that has a successor the log has them
				r.Diagnostics = append(r.Diagnostics, more...)
			}
		})
	}
	return nil
}

// powerOff brings the guest down from inside, and pulls the plug when that does not work.
func (s *supervisor) powerOff(ctx context.Context, w *watch, session *proto.Session, grace time.Duration) (diagnostics []string) {
	down, cancel := context.WithTimeout(ctx, grace+powerOffLimit)
	defer cancel()
	s.log.Info("shuts the guest down")
	stopped, err := session.Shutdown(down, grace)
	s.log.Info("guest is shut down")
	switch {
	case err != nil && s.wasCut():
		w.vm.Kill()
		return []string{s.describeLoss("it had not powered off; " + lostWrites)}
	case err != nil:
		diagnostics = append(diagnostics, "shut the guest down: "+printable.Line(err.Error()))
	case stopped.Killed:
		s.setForced()
	}
	for _, m := range stopped.Unclean {
		diagnostics = append(diagnostics, fmt.Sprintf("%s was not unmounted", printable.Line(m)))
	}
	if err == nil && len(stopped.Unclean) == 0 && !s.wasCut() {
		w.vm.Stop(ctx) // its disks are clean and synced, and how its kernel powers off is nobody's to wait for
		<-w.done
		return diagnostics
	}
	if err == nil {
		select {
		case <-w.done:
			return diagnostics
		case <-down.Done():
		}
	}
	select {
	case <-w.done:
	default:
		s.setForced()
		w.vm.Stop(ctx)
	}
	if s.wasCut() {
		diagnostics = append(diagnostics, s.describeLoss("it had not powered off"))
	}
	return diagnostics
}
