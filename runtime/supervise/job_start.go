package supervise

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"

	"microagent/runtime/driver"
	"microagent/runtime/guest/proto"
	"microagent/runtime/supervise/control"
	"microagent/runtime/supervise/outlog"
)

const opJob = "start job in workspace"

// startJob begins a job in the guest of a life.
func (s *supervisor) startJob(ctx context.Context, l *life, spec driver.JobSpec) (driver.Job, error) {
	if !s.jobs.reserve() {
		return driver.Job{}, s.refuseJob(fmt.Sprintf("%d jobs run in it, and no more may at once", driver.MaxRunningJobs), "microagent list --jobs")
	}
	j := s.newJob(l, spec)
	s.jobs.creating.Lock()
	err := inOrder(s.makeJobSteps(j))
	s.jobs.creating.Unlock()
	if err == nil {
		err = inOrder(s.beginJobSteps(ctx, j, spec.Exec))
	}
	if err != nil {
		s.jobs.release("")
		return driver.Job{}, errors.Join(err, s.unmakeJob(j))
	}
	return j.snapshot(), nil
}

// inOrder does one step after the other, until one fails.
func inOrder(steps []func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// newJob is a job that is nowhere yet.
func (s *supervisor) newJob(l *life, spec driver.JobSpec) *job {
	j := &job{
		life: l, exited: make(chan struct{}), over: make(chan struct{}),
		record: driver.Job{
			Workspace: s.spec.Workspace.Name, RunID: l.run, Argv: shortArgv(spec.Exec.Argv), User: spec.Exec.User,
			Workdir: spec.Exec.Workdir, Timeout: spec.Exec.Timeout, State: driver.JobRunning, Outputs: spec.Outputs,
			PID: s.self.PID, BootID: s.self.BootID, Start: s.self.Start,
		},
	}
	for _, o := range spec.Outputs {
		j.outputs = append(j.outputs, driver.Output{Name: o.Name, Path: o.From, MayBeUnchanged: o.MayBeUnchanged})
	}
	return j
}

// makeJobSteps make room for a job, and its folder, log and record; jobs.creating is held. Without the last it is none yet,
// and its folder is swept by the next supervisor.
func (s *supervisor) makeJobSteps(j *job) []func() error {
	return []func() error{
		s.forgetJobs,
		func() (err error) {
			j.record.ID, err = control.CreateJob(s.folder)
			j.folder = s.folder.Job(j.record.ID)
			return s.jobFiles(err)
		},
		func() (err error) {
			j.log, err = outlog.CreateJob(j.folder.Dir)
			return s.jobFiles(err)
		},
		func() error {
			j.record.Started = now()
			return s.jobFiles(control.WriteJob(s.folder, j.record))
		},
	}
}

// beginJobSteps begin what a job runs. Its record says before that that it runs.
func (s *supervisor) beginJobSteps(ctx context.Context, j *job, e driver.ExecSpec) []func() error {
	return []func() error{
		func() (err error) {
			ctx, cancel := context.WithTimeout(ctx, startLimit)
			defer cancel()
			j.process, err = j.life.session.Start(ctx, proto.ExecSpec{
				ID: "job-" + j.record.ID, Timeout: e.Timeout, Command: proto.Command{Argv: e.Argv, Env: e.Env, User: e.User, Workdir: e.Workdir},
			}, proto.Streams{Stdout: j.log.Stdout(), Stderr: j.log.Stderr()})
			return err
		},
		func() error {
			if s.jobs.keep(j, func() { s.followJob(j) }) {
				return nil
			}
			return errors.Join(s.refuseJob("it is ending", ""), j.process.Close())
		},
	}
}

// unmakeJob takes back what was made of a job that can't be begun.
func (s *supervisor) unmakeJob(j *job) error {
	if j.log != nil {
		j.log.Close()
	}
	if j.record.ID == "" {
		return nil
	}
	return control.RemoveJob(s.folder, j.record.ID)
}

func (s *supervisor) refuseJob(why, next string) error {
	return &driver.Error{Class: driver.ErrRefused, Op: opJob, Object: s.spec.Workspace.Name, Err: errors.New(why), Next: next}
}

// jobFiles is the error of files of a job, nil for nil.
func (s *supervisor) jobFiles(err error) error {
	if err == nil {
		return nil
	}
	e := &driver.Error{Op: opJob, Object: s.spec.Workspace.Name, Err: err}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		e.Class, e.Next = driver.ErrNoSpace, driver.NextNoSpace
	}
	return e
}

// maxArgv bounds what a record keeps of a command, in bytes.
const maxArgv = 4 << 10

// shortArgv is what a record keeps of a command: where it was cut, "..." is the last argument.
func shortArgv(argv []string) []string {
	left := maxArgv
	for i, a := range argv {
		if left -= len(a); left < 0 {
			return append(slices.Clone(argv[:i]), "...")
		}
	}
	return argv
}

// forgetJobs makes room for one more: the oldest that ended go, but for those with outputs that nobody brought out.
func (s *supervisor) forgetJobs() error {
	list, err := control.ListJobs(s.folder)
	if err != nil {
		s.log.Warn("list jobs", "error", err)
	}
	list = slices.DeleteFunc(list, func(j driver.Job) bool { return j.State == driver.JobRunning })
	over := len(list) + 1 - driver.MaxEndedJobs
	for _, j := range list {
		if over <= 0 {
			return nil
		}
		if j.Holds() {
			continue
		}
		if err := control.RemoveJob(s.folder, j.ID); err != nil {
			return s.jobFiles(fmt.Errorf("forget job %s: %w", j.ID, err))
		}
		over--
	}
	if over <= 0 {
		return nil
	}
	return s.refuseJob(fmt.Sprintf("%d of its jobs hold outputs that nobody brought out", driver.MaxEndedJobs), "microagent wait --job "+list[0].ID+" "+s.spec.Workspace.Name)
}
