package supervise

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/guest/proto"
	"microagent/runtime/layout"
	"microagent/runtime/supervise/control"
	"microagent/runtime/supervise/outlog"
	"microagent/schema/printable"
)

const opJob = "start job in workspace"

// settleJobs is how long jobs may take to write their end once their guest is gone. One that is not done then ends with
// the process, and is seen as lost.
const settleJobs = 500 * time.Millisecond

// jobs are those that run. Each has a goroutine, which settle waits for.
type jobs struct {
	creating sync.Mutex // held while one is made room for on disk

	mu      sync.Mutex // what follows; held for a moment
	running map[string]*job
	begun   int  // those of running, and those that are being started
	over    bool // no more work
	work    sync.WaitGroup
}

// job is one that runs.
type job struct {
	folder  layout.Workspace
	log     *outlog.Log
	life    *life
	process *proto.Process
	outputs []driver.Output
	exited  chan struct{} // closed when its process is over, or nobody will hear of that
	over    chan struct{} // closed when its record says how it ended

	mu      sync.Mutex // what follows
	record  driver.Job
	stopped bool // it was asked to end
}

func (j *job) snapshot() driver.Job {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.record
}

func (k *jobs) find(id string) *job {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.running[id]
}

// reserve counts one more that is begun, unless there are too many.
func (k *jobs) reserve() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.begun >= driver.MaxRunningJobs {
		return false
	}
	k.begun++
	return true
}

// keep makes j one that runs, and begins work on it; false when the run is over.
func (k *jobs) keep(j *job, work func()) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.over {
		return false
	}
	if k.running == nil {
		k.running = map[string]*job{}
	}
	k.running[j.record.ID] = j
	k.work.Go(work)
	return true
}

// do begins work, unless the run is over: its jobs end without it then.
func (k *jobs) do(work func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.over {
		k.work.Go(work)
	}
}

// release is the end of one that was reserved, and of its job when that is kept.
func (k *jobs) release(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.begun--
	delete(k.running, id)
}

// settle ends the beginning of work, waits until the ends of jobs are on disk, and says whether they are.
func (k *jobs) settle(limit time.Duration) bool {
	k.mu.Lock()
	k.over = true
	k.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		k.work.Wait()
	}()
	select {
	case <-done:
		return true
	case <-time.After(limit):
		return false
	}
}

// startJob begins a job in the guest of a life.
func (s *supervisor) startJob(ctx context.Context, session *proto.Session, l *life, spec driver.JobSpec) (driver.Job, error) {
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
	j.process, err = session.Start(starting, proto.ExecSpec{
		ID: "job-" + j.record.ID, Timeout: e.Timeout, Command: proto.Command{Argv: e.Argv, Env: e.Env, User: e.User, Workdir: e.Workdir},
	}, proto.Streams{Stdout: j.log.Stdout(), Stderr: j.log.Stderr()})
	if err == nil && !s.jobs.keep(j, func() { s.followJob(session, j) }) {
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

// followJob waits for a job's end and writes it down.
func (s *supervisor) followJob(session *proto.Session, j *job) {
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
	j.log.End()
	end := s.judgeJob(ctx, session, j, exit, err)
	j.mu.Lock()
	end(&j.record)
	j.record.Ended = new(now())
	record := j.record
	j.mu.Unlock()
	if s.writeJobEnd(record) {
		s.jobs.release(record.ID)
	} // else it stays for those who ask
	close(j.over)
	j.log.Close()
}

// judgeJob says how a job ended, and brings its outputs into its folder when the guest is there still.
func (s *supervisor) judgeJob(ctx context.Context, session *proto.Session, j *job, exit proto.Exit, err error) func(*driver.Job) {
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
		return func(r *driver.Job) { r.State, r.Error = state, why }
	case stopping:
		return func(r *driver.Job) {
			r.State, r.Error, r.ExitCode = driver.JobStopped, control.JobWorkspaceStopped, &exit.Code
			r.Collected = uncollected(j.outputs, control.JobWorkspaceStopped)
		}
	case j.life.ending.Load():
		return func(r *driver.Job) { r.State, r.Error = driver.JobLost, control.JobRunEnded }
	}
	var collected []driver.Fetched
	if len(j.outputs) > 0 {
		collected = s.collectJob(ctx, session, j)
	}
	return func(r *driver.Job) {
		r.State, r.ExitCode, r.TimedOut, r.Error, r.Collected = driver.JobExited, &exit.Code, exit.TimedOut, printable.Line(exit.Message), collected
		if j.stopped {
			r.State = driver.JobStopped
		}
	}
}

// collectJob brings a job's outputs into its folder.
func (s *supervisor) collectJob(ctx context.Context, session *proto.Session, j *job) []driver.Fetched {
	fetching, cancel := context.WithTimeout(ctx, fetchLimit)
	defer cancel()
	collected := s.collectInto(fetching, session, j.process.ID(), j.folder, j.outputs)
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
		list = append(list, driver.Fetched{Name: o.Name, From: o.Path, Error: "it was not collected: " + why})
	}
	return list
}

// writeJobEnd writes how a job ended, and says whether it could. Where it can't, the job is seen as lost once this process
// is gone.
func (s *supervisor) writeJobEnd(record driver.Job) bool {
	err := control.WriteJob(s.folder, record)
	if errors.Is(err, syscall.ENOSPC) && s.room.Free() {
		err = control.WriteJob(s.folder, record)
	}
	if err != nil {
		s.log.Error("write the end of a job", "job", record.ID, "error", err)
	}
	return err == nil
}
