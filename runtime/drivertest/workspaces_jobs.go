package drivertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"microagent/runtime/driver"
)

type fakeJob struct {
	driver.Job
	shell   *fakeShell
	over    chan struct{}
	outputs map[string][]byte
}

// StartJob runs the job's script. A job ends at once unless it sleeps.
func (f *FakeWorkspaces) StartJob(_ context.Context, name string, spec driver.JobSpec) (driver.Job, error) {
	if err := f.call("job", name); err != nil {
		return driver.Job{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	w, err := f.running("start job in workspace", name)
	if err == nil {
		err = w.InRun(spec.Exec.IfRun)
	}
	if err != nil {
		return driver.Job{}, err
	}
	j := &fakeJob{
		Job: driver.Job{
			ID: fmt.Sprintf("job%03d", len(w.jobs)+1), Workspace: name, RunID: w.Run.ID, Argv: spec.Exec.Argv, User: spec.Exec.User,
			Workdir: spec.Exec.Workdir, Timeout: spec.Exec.Timeout, Started: f.clock(), State: driver.JobRunning, Outputs: spec.Outputs,
		},
		shell: runFakeShell(spec.Exec.Argv, w.files, w.env), over: make(chan struct{}), outputs: map[string][]byte{},
	}
	w.jobs = append(w.jobs, j)
	begun := j.Job
	if !j.shell.sleeps {
		f.endJob(w, j, driver.JobExited, "", &j.shell.code)
	}
	return begun, nil
}

func (f *FakeWorkspaces) endJob(w *fakeWorkspace, j *fakeJob, state driver.JobState, why string, code *int) {
	if j.State != driver.JobRunning {
		return
	}
	j.State, j.Error, j.ExitCode, j.Ended = state, why, code, new(f.clock())
	for _, o := range j.Outputs {
		if state == driver.JobLost {
			j.Collected = append(j.Collected, driver.Fetched{Name: o.Name, From: o.From, Error: why})
			continue
		}
		held := w.outputs
		w.outputs = j.outputs
		j.Collected = append(j.Collected, w.collect(driver.Output{Name: o.Name, Path: o.From}))
		w.outputs = held
	}
	close(j.over)
}

// endJobs is the end of a run's jobs.
func (f *FakeWorkspaces) endJobs(w *fakeWorkspace) {
	for _, j := range w.jobs {
		if w.Run.Stopped {
			f.endJob(w, j, driver.JobStopped, "the workspace was stopped", nil)
		} else {
			f.endJob(w, j, driver.JobLost, "the workspace's run ended", nil)
		}
	}
}

func (f *FakeWorkspaces) job(op, name, id string) (*fakeWorkspace, *fakeJob, error) {
	w, err := f.get(op, name)
	if err != nil {
		return nil, nil, err
	}
	var fit []*fakeJob
	for _, j := range w.jobs {
		if id != "" && strings.HasPrefix(j.ID, id) {
			fit = append(fit, j)
		}
	}
	switch len(fit) {
	case 0:
		return nil, nil, &driver.Error{Class: driver.ErrNotFound, Op: op, Object: id, Err: fmt.Errorf("workspace %s has no such job", name), Next: "microagent list --jobs"}
	case 1:
		return w, fit[0], nil
	}
	return nil, nil, &driver.Error{Class: driver.ErrInvalid, Op: op, Object: id, Err: errors.New("several jobs begin so"), Next: "microagent list --jobs"}
}

// Jobs lists a workspace's jobs.
func (f *FakeWorkspaces) Jobs(_ context.Context, name string) ([]driver.Job, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w, err := f.get("list jobs of workspace", name)
	if err != nil {
		return nil, err
	}
	var list []driver.Job
	for _, j := range w.jobs {
		list = append(list, j.Job)
	}
	return list, nil
}

// WaitJob gives the job when it has ended.
func (f *FakeWorkspaces) WaitJob(ctx context.Context, name, id string) (driver.Job, error) {
	f.mu.Lock()
	_, j, err := f.job("wait for job", name, id)
	f.mu.Unlock()
	if err != nil {
		return driver.Job{}, err
	}
	select {
	case <-j.over:
	case <-ctx.Done():
		return driver.Job{}, ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return j.Job, nil
}

// StopJob ends the job.
func (f *FakeWorkspaces) StopJob(_ context.Context, name, id string, _ driver.StopOptions) (driver.Job, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w, j, err := f.job("stop job", name, id)
	if err != nil {
		return driver.Job{}, err
	}
	f.endJob(w, j, driver.JobStopped, "", new(143))
	return j.Job, nil
}

// JobOutput gives a collected output of a job.
func (f *FakeWorkspaces) JobOutput(_ context.Context, name, id, output string) (io.ReadCloser, driver.Fetched, error) {
	const op = "output of job"
	f.mu.Lock()
	defer f.mu.Unlock()
	_, j, err := f.job(op, name, id)
	if err != nil {
		return nil, driver.Fetched{}, err
	}
	for _, got := range j.Collected {
		if data, ok := j.outputs[output]; ok && got.Name == output {
			return io.NopCloser(bytes.NewReader(data)), got, nil
		} else if got.Name == output {
			return nil, got, &driver.Error{Class: driver.ErrNotFound, Op: op, Object: name, Err: fmt.Errorf("output %q was not collected: %s", output, got.Error)}
		}
	}
	return nil, driver.Fetched{}, &driver.Error{Class: driver.ErrNotFound, Op: op, Object: name, Err: fmt.Errorf("output %q was not collected", output)}
}

// TakeJob notes that an output of the job is the user's.
func (f *FakeWorkspaces) TakeJob(_ context.Context, name, id, output string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, j, err := f.job("take job", name, id)
	if err == nil {
		j.Taken = append(j.Taken, output)
	}
	return err
}

// PruneJobs forgets jobs that ended.
func (f *FakeWorkspaces) PruneJobs(_ context.Context, dry bool) (int64, []driver.Job, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var pruned []driver.Job
	for _, name := range slices.Sorted(maps.Keys(f.all)) {
		w := f.all[name]
		w.jobs = slices.DeleteFunc(w.jobs, func(j *fakeJob) bool {
			if j.State == driver.JobRunning || j.Holds() {
				return false
			}
			pruned = append(pruned, j.Job)
			return !dry
		})
	}
	return int64(len(pruned)) << 12, pruned, nil
}

// workspacesJobs runs jobs in the idle workspace "one", and leaves one that goes on.
func workspacesJobs(t *testing.T, w WorkspacesUnder, run driver.Run) (goesOn string) {
	ctx := t.Context()
	script := func(text string) driver.ExecSpec {
		return driver.ExecSpec{Argv: []string{"sh", "-c", text}, IfRun: run.ID}
	}
	j, err := w.StartJob(ctx, "one", driver.JobSpec{
		Exec:    script("echo out; echo err >&2; echo 42 > /answer; exit 7"),
		Outputs: []driver.JobOutput{{Name: "answer", From: "/answer", To: "/host/answer"}, {Name: "none", From: "/none", To: "/host/none"}},
	})
	must(t, err)
	if j.ID == "" || j.State != driver.JobRunning || j.RunID != run.ID || j.Workspace != "one" {
		t.Errorf("begun: %+v", j)
	}
	end, err := w.WaitJob(ctx, "one", j.ID)
	must(t, err)
	if end.State != driver.JobExited || end.ExitCode == nil || *end.ExitCode != 7 || end.Ended == nil || len(end.Collected) != 2 || len(end.Outputs) != 2 {
		t.Errorf("ended: %+v", end)
	}
	var stdout, stderr bytes.Buffer
	for _, follow := range []bool{false, true} {
		stdout.Reset()
		stderr.Reset()
		must(t, w.Logs(ctx, "one", driver.LogOptions{Job: j.ID, Follow: follow}, &stdout, &stderr))
		if stdout.String() != "out\n" || stderr.String() != "err\n" {
			t.Errorf("follow %v: %q and %q", follow, stdout.String(), stderr.String())
		}
	}
	tree, got, err := w.JobOutput(ctx, "one", j.ID, "answer")
	must(t, err)
	must(t, tree.Close())
	if got.Bytes != 3 || got.Error != "" {
		t.Errorf("output: %+v", got)
	}
	_, _, err = w.JobOutput(ctx, "one", j.ID, "none")
	wantClass(t, err, driver.ErrNotFound)

	long, err := w.StartJob(ctx, "one", driver.JobSpec{Exec: script("sleep 1000")})
	must(t, err)
	if long.ID == j.ID {
		t.Errorf("two jobs are called %s", j.ID)
	}
	waiting, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := w.WaitJob(waiting, "one", long.ID); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("WaitJob for one that goes on: %v", err)
	}
	stopped, err := w.StopJob(ctx, "one", long.ID, driver.StopOptions{})
	must(t, err)
	if stopped.State != driver.JobStopped || stopped.ExitCode == nil || *stopped.ExitCode != 143 {
		t.Errorf("stopped: %+v", stopped)
	}
	again, err := w.StopJob(ctx, "one", long.ID, driver.StopOptions{})
	if err != nil || again.State != driver.JobStopped {
		t.Errorf("stopped twice: %+v, %v", again, err)
	}

	_, err = w.StartJob(ctx, "one", driver.JobSpec{Exec: driver.ExecSpec{Argv: []string{"true"}, IfRun: "another"}})
	wantClass(t, err, driver.ErrRefused)
	_, err = w.Exec(ctx, "one", driver.ExecSpec{Argv: []string{"true"}, IfRun: "another"}, driver.Streams{})
	wantClass(t, err, driver.ErrRefused)
	for _, id := range []string{"", "none", "../x"} {
		_, err = w.WaitJob(ctx, "one", id)
		wantClass(t, err, driver.ErrNotFound)
	}
	_, err = w.Jobs(ctx, "none")
	wantClass(t, err, driver.ErrNotFound)

	kept, err := w.StartJob(ctx, "one", driver.JobSpec{Exec: script("sleep 1000")})
	must(t, err)
	list, err := w.Jobs(ctx, "one")
	must(t, err)
	if len(list) != 3 || list[0].ID != j.ID || list[1].ID != long.ID || list[2].ID != kept.ID || list[2].State != driver.JobRunning {
		t.Errorf("Jobs: %+v", list)
	}
	_, pruned, err := w.PruneJobs(ctx, true)
	must(t, err)
	if len(pruned) != 1 || pruned[0].ID != long.ID {
		t.Errorf("PruneJobs would remove %v: a job with an output that nobody has, or one that runs", pruned)
	}
	must(t, w.TakeJob(ctx, "one", j.ID, "answer"))
	freed, pruned, err := w.PruneJobs(ctx, false)
	must(t, err)
	if len(pruned) != 2 || freed <= 0 {
		t.Errorf("PruneJobs: %d, %v", freed, pruned)
	}
	return kept.ID
}

// workspacesJobStopped looks at a job whose workspace was stopped.
func workspacesJobStopped(t *testing.T, w WorkspacesUnder, id string) {
	j, err := w.WaitJob(t.Context(), "one", id)
	must(t, err)
	if j.State != driver.JobStopped || j.Error == "" {
		t.Errorf("a job of a workspace that was stopped: %+v", j)
	}
	_, err = w.StartJob(t.Context(), "one", driver.JobSpec{Exec: driver.ExecSpec{Argv: []string{"true"}}})
	wantClass(t, err, driver.ErrRefused)
}
