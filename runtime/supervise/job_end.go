package supervise

import (
	"context"
	"sync"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/guest/proto"
	"microagent/runtime/supervise/control"
	"microagent/schema/printable"
)

// followJob waits for a job's end and writes it down.
func (s *supervisor) followJob(j *job) {
	ctx, cancel := context.WithCancel(s.guest)
	defer cancel()
	followed := make(chan struct{})
	defer close(followed)
	go func() {
		select {
		case <-j.life.over:
			cancel()
		case <-followed:
		}
	}()
	exit, err := j.process.Wait(ctx)
	close(j.exited)
	if err := inOrder(s.endJobSteps(ctx, j, exit, err)); err != nil { // it stays for those who ask
		s.log.Error("write the end of a job", "job", j.record.ID, "error", err)
	}
	close(j.over)
	j.log.Close()
}

// endJobSteps are the end of a job whose process is over. Killed before its record says how it ended, it is lost.
func (s *supervisor) endJobSteps(ctx context.Context, j *job, exit proto.Exit, err error) []func() error {
	var end func(*driver.Job)
	return []func() error{
		func() error { j.log.End(); return nil },
		func() error { end = s.judgeJob(ctx, j, exit, err); return nil },
		func() error {
			j.mu.Lock()
			end(&j.record)
			j.record.Ended = new(now())
			record := j.record
			j.mu.Unlock()
			return s.inReserve(func() error { return control.WriteJob(s.folder, record) })
		},
		func() error { s.jobs.release(j.record.ID); return nil },
	}
}

// judgeJob says how a job ended, and brings its outputs into its folder when the guest is there still.
func (s *supervisor) judgeJob(ctx context.Context, j *job, exit proto.Exit, err error) func(*driver.Job) {
	_, stopping := s.stopRequested()
	switch {
	case err != nil && ctx.Err() == nil: // the connection ends before it is known why
		select {
		case <-j.life.over:
		case <-s.guest.Done():
		case <-time.After(2 * settle):
			return func(r *driver.Job) { r.State, r.Error = driver.JobLost, printable.Line(err.Error()) }
		}
		fallthrough
	case err != nil:
		state, why := s.jobEndedWithGuest(j)
		return func(r *driver.Job) { r.State, r.Error, r.Collected = state, why, uncollected(j.outputs, why) }
	case !stopping && j.life.ending.Load():
		return func(r *driver.Job) {
			r.State, r.Error, r.Collected = driver.JobLost, control.JobRunEnded, uncollected(j.outputs, control.JobRunEnded)
		}
	}
	var collected []driver.Fetched
	if len(j.outputs) > 0 {
		collected = s.collectJob(ctx, j)
	}
	return func(r *driver.Job) {
		r.State, r.ExitCode, r.TimedOut, r.Error, r.Collected = driver.JobExited, &exit.Code, exit.TimedOut, printable.Line(exit.Message), collected
		r.OutOfMemory = printable.Line(exit.OutOfMemory)
		if j.stopped {
			r.State = driver.JobStopped
		}
		if stopping {
			r.State, r.Error = driver.JobStopped, control.JobWorkspaceStopped
		}
	}
}

// stopJobs asks the jobs that leave outputs to end with their workspace, kills at until those that have not, and returns when
// what they leave was collected, or their guest is gone.
func (s *supervisor) stopJobs(w *watch, session *proto.Session, until time.Time) {
	var all sync.WaitGroup
	for _, j := range s.jobs.leaving() {
		all.Go(func() {
			if !s.endJob(j, "SIGTERM", time.Until(until)) {
				s.setForced()
				s.endJob(j, "SIGKILL", killLimit)
			}
			select {
			case <-j.over:
			case <-s.guest.Done():
			case <-session.Done():
			case <-w.done:
			}
		})
	}
	all.Wait()
}

// collectJob brings a job's outputs into its folder.
func (s *supervisor) collectJob(ctx context.Context, j *job) []driver.Fetched {
	fetching, cancel := context.WithTimeout(ctx, fetchLimit)
	defer cancel()
	collected := s.collectInto(fetching, j.life.session, j.process.ID(), j.folder, j.outputs)
	if ctx.Err() == nil {
		return collected
	}
	_, why := s.jobEndedWithGuest(j)
	for i, f := range collected {
		if f.Error != "" && !f.Missing {
			collected[i].Error = "it was not collected: " + why
		}
	}
	return collected
}

// jobEndedWithGuest is the state of a job that ended with its guest, and why that did.
func (s *supervisor) jobEndedWithGuest(j *job) (driver.JobState, string) {
	if _, stop := s.stopRequested(); stop {
		return driver.JobStopped, control.JobWorkspaceStopped
	}
	<-j.life.over // the guest is gone, or was cut, and boot leaves it
	return driver.JobLost, j.life.ended
}

func uncollected(outputs []driver.Output, why string) (list []driver.Fetched) {
	for _, o := range outputs {
		list = append(list, driver.Fetched{Name: o.Name, From: o.Path, Error: why})
	}
	return list
}
