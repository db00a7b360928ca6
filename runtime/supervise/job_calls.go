package supervise

import (
	"context"
	"errors"
	"time"

	"microagent/runtime/driver"
)

// StartJob does not end with its client: what was asked for is begun, and listed.
func (s calls) StartJob(ctx context.Context, spec driver.JobSpec) (j driver.Job, err error) {
	err = s.withLife(context.WithoutCancel(ctx), opJob, func(ctx context.Context, l *life) error {
		j, err = s.startJob(ctx, l, spec)
		return err
	})
	return j, err
}

// runningJob is one that has not ended, as its record may not say yet.
func (s calls) runningJob(op, id string) (*job, error) {
	if j := s.jobs.find(id); j != nil {
		return j, nil
	}
	return nil, &driver.Error{Class: driver.ErrNotFound, Op: op, Object: id, Err: errors.New("no such job runs")}
}

func (s calls) WaitJob(ctx context.Context, id string) (driver.Job, error) {
	j, err := s.runningJob("wait for job", id)
	if err != nil {
		return driver.Job{}, err
	}
	select {
	case <-j.over:
		return j.snapshot(), nil
	case <-ctx.Done():
		return driver.Job{}, ctx.Err()
	}
}

// jobGrace is how long a job has for its SIGTERM when a stop does not say.
const jobGrace = 10 * time.Second

// StopJob sees to it that the job ends, also when its client goes away.
func (s calls) StopJob(ctx context.Context, id string, grace time.Duration, force bool) (driver.Job, error) {
	const op = "stop job"
	j, err := s.runningJob(op, id)
	if err != nil {
		return driver.Job{}, err
	}
	if grace == 0 {
		grace = jobGrace
	}
	j.mu.Lock()
	j.stopped = true
	j.mu.Unlock()
	silent := make(chan struct{})
	s.jobs.do(func() {
		if !force && s.endJob(j, "SIGTERM", grace) || s.endJob(j, "SIGKILL", killLimit) {
			return
		}
		close(silent)
	})
	select {
	case <-j.over:
		return j.snapshot(), nil
	case <-silent:
		return driver.Job{}, s.explainSilence(op, errors.New("the job was killed, and it says nothing of its end"))
	case <-ctx.Done():
		return driver.Job{}, ctx.Err()
	}
}

// endJob signals a job and says whether it ended within that time.
func (s *supervisor) endJob(j *job, signal string, within time.Duration) bool {
	ctx, cancel := context.WithTimeout(s.guest, killLimit)
	defer cancel()
	if err := j.process.Signal(ctx, signal); err != nil {
		s.log.Warn("signal a job", "job", j.record.ID, "signal", signal, "error", err)
	}
	if signal == "SIGTERM" {
		_ = j.process.Signal(ctx, "SIGCONT") // one that is stopped would never hear of it
	}
	t := time.NewTimer(within)
	defer t.Stop()
	select {
	case <-j.exited:
		return true
	case <-j.life.over:
		return true
	case <-s.guest.Done():
		return true
	case <-t.C:
		return false
	}
}
