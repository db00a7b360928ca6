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
	j, err := s.createJob(l.run, spec)
	if err != nil {
		s.jobs.release("")
		return driver.Job{}, err
	}
	j.life = l
	starting, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	e := spec.Exec
	j.process, err = l.session.Start(starting, proto.ExecSpec{
		ID: "job-" + j.record.ID, Timeout: e.Timeout, Command: proto.Command{Argv: e.Argv, Env: e.Env, User: e.User, Workdir: e.Workdir},
	}, proto.Streams{Stdout: j.log.Stdout(), Stderr: j.log.Stderr()})
	if err == nil && !s.jobs.keep(j, func() { s.followJob(j) }) {
		err = errors.Join(s.refuseJob("it is ending", ""), j.process.Close())
	}
	if err != nil {
		s.jobs.release("")
		j.log.Close()
		return driver.Job{}, errors.Join(err, control.RemoveJob(s.folder, j.record.ID))
	}
	return j.snapshot(), nil
}

func (s *supervisor) refuseJob(why, next string) error {
	return &driver.Error{Class: driver.ErrRefused, Op: opJob, Object: s.spec.Workspace.Name, Err: errors.New(why), Next: next}
}

// jobFiles is the error of files of a job.
func (s *supervisor) jobFiles(err error) error {
	e := &driver.Error{Op: opJob, Object: s.spec.Workspace.Name, Err: err}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		e.Class, e.Next = driver.ErrNoSpace, driver.NextNoSpace
	}
	return e
}

// createJob makes room for a job, and its folder, log and record.
func (s *supervisor) createJob(run string, spec driver.JobSpec) (*job, error) {
	s.jobs.creating.Lock()
	defer s.jobs.creating.Unlock()
	if err := s.forgetJobs(); err != nil {
		return nil, err
	}
	id, err := control.CreateJob(s.folder)
	if err != nil {
		return nil, s.jobFiles(err)
	}
	j := &job{
		folder: s.folder.Job(id), exited: make(chan struct{}), over: make(chan struct{}),
		record: driver.Job{
			ID: id, Workspace: s.spec.Workspace.Name, RunID: run, Argv: shortArgv(spec.Exec.Argv), User: spec.Exec.User,
			Workdir: spec.Exec.Workdir, Timeout: spec.Exec.Timeout, Started: now(), State: driver.JobRunning, Outputs: spec.Outputs,
			PID: s.self.PID, BootID: s.self.BootID, Start: s.self.Start,
		},
	}
	for _, o := range spec.Outputs {
		j.outputs = append(j.outputs, driver.Output{Name: o.Name, Path: o.From, MayBeUnchanged: o.MayBeUnchanged})
	}
	if j.log, err = outlog.CreateJob(j.folder.Dir); err == nil {
		if err = control.WriteJob(s.folder, j.record); err == nil {
			return j, nil
		}
		j.log.Close()
	}
	return nil, errors.Join(s.jobFiles(err), control.RemoveJob(s.folder, id))
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
