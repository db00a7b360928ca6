package supervise

import (
	"cmp"
	"context"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/supervise/control"
)

// stopRequest says how to stop.
type stopRequest struct {
	grace time.Duration
	force bool
	until time.Time // when the grace is over
}

// defaultGrace is how long a process may take to end when neither the stop nor the workspace says.
const defaultGrace = 10 * time.Second

// What is left of a stop after the grace. From the request on, everything that the run still does, signals, syncing
// disks, collecting outputs, powering off, has the grace and stopMargin in sum; then the VMM is killed, and the run's
// diagnostics say what was lost. With what follows, a halt returns within the grace and five seconds.
const (
	stopMargin   = 3 * time.Second
	collectHurry = 500 * time.Millisecond // for a collecting that was cut short to notice
	answerHurry  = time.Second            // for a client to read its answer
)

// answerLimit is how long a client may take to read its answer once a run has ended by itself, and settleAnswers how
// long its goroutine may take to end after that.
const (
	answerLimit   = 2 * time.Second
	settleAnswers = 250 * time.Millisecond
)

// requestStop asks for a stop; the first one counts, and a force after it makes it one.
func (s *supervisor) requestStop(r stopRequest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.grace = cmp.Or(r.grace, s.spec.Workspace.StopGrace, defaultGrace)
	select {
	case <-s.stop:
		s.stopReq.force = s.stopReq.force || r.force
	default:
		r.until = time.Now().Add(r.grace)
		s.stopReq = r
		s.overdue = time.AfterFunc(r.grace+stopMargin, s.endNow)
		close(s.stop)
	}
	if r.force {
		s.cutLocked()
	}
}

// endNow ends what the run still does for its guest, and the VMM: whatever it waits for, and be it a guest that has
// stopped answering, ends with these.
func (s *supervisor) endNow() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cutLocked()
}

// stopTheClock ends the time that a stop has.
func (s *supervisor) stopTheClock() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.overdue != nil {
		s.overdue.Stop()
	}
}

func (s *supervisor) cutLocked() {
	s.forced = true
	s.cut()
	if s.vm != nil {
		s.vm.Kill()
	}
}

// wasCut says that the guest was ended without being asked further.
func (s *supervisor) wasCut() bool { return s.guest.Err() != nil }

func (s *supervisor) stopRequested() (stopRequest, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.stop:
		return s.stopReq, true
	default:
		return stopRequest{}, false
	}
}

func (s *supervisor) setForced() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forced = true
}

// describeLoss says what the end of a guest that was cut short cost.
func (s *supervisor) describeLoss(what string) string {
	req, _ := s.stopRequested()
	if req.force {
		return "the guest was killed, as was asked for: " + what
	}
	return "the guest was killed, its stop took longer than " + (req.grace + stopMargin).String() + ": " + what
}

const lostWrites = "what it had not written to its disks is lost"

// recordEarlyStop is the end of a run whose process was not seen to end.
func (s *supervisor) recordEarlyStop() error {
	return s.conclude(func(r *driver.Run) { r.Phase, r.Stopped = driver.PhaseFinished, true })
}

// dismiss ends accepting clients and gives those under way a moment to take their answer. One that is not done then, with
// a large tree to remove or a disk of the host to wait for, ends with the process; what it leaves is swept by whoever
// comes next.
func (s *supervisor) dismiss(server *control.Server) {
	limit := answerLimit
	if _, stop := s.stopRequested(); stop {
		limit = answerHurry
	}
	if !server.Close(limit, settleAnswers) {
		s.log.Warn("left a client behind")
	}
}

// whileGuest is ctx for a call to the guest: it ends when the guest is cut short as well.
func (s *supervisor) whileGuest(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.guest, cancel)
	return ctx, func() { stop(); cancel() }
}
