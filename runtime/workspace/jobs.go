package workspace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/runtime/lease"
	"microagent/runtime/supervise/control"
	"microagent/runtime/workspace/logs"
)

// StartJob begins a job in a running workspace.
func (s *Store) StartJob(ctx context.Context, name string, spec driver.JobSpec) (driver.Job, error) {
	const op = "start job in workspace"
	client, err := s.runningIn(op, name, spec.Exec.IfRun)
	if err != nil {
		return driver.Job{}, err
	}
	j, err := client.StartJob(ctx, spec)
	if err != nil {
		return j, s.controlError(ctx, op, name, name, err)
	}
	return j, nil
}

// Jobs lists a workspace's jobs, oldest first.
func (s *Store) Jobs(_ context.Context, name string) ([]driver.Job, error) {
	if _, err := s.need("list jobs of workspace", name); err != nil {
		return nil, err
	}
	return control.ListJobs(s.State.Workspace(name))
}

// job finds the job that an id or the beginning of one stands for.
func (s *Store) job(op, name, id string) (driver.Job, error) {
	if _, err := s.need(op, name); err != nil {
		return driver.Job{}, err
	}
	folder := s.State.Workspace(name)
	ids, err := control.JobIDs(folder)
	if err != nil {
		return driver.Job{}, fmt.Errorf("%s %s: %w", op, id, err)
	}
	var fit []string
	for _, one := range ids {
		if id != "" && strings.HasPrefix(one, id) {
			fit = append(fit, one)
		}
	}
	const next = "microagent list --jobs"
	switch len(fit) {
	case 0:
		return driver.Job{}, noJob(op, name, id)
	case 1:
	default:
		return driver.Job{}, &driver.Error{Class: driver.ErrInvalid, Op: op, Object: id,
			Err: fmt.Errorf("jobs %s of workspace %s begin so", strings.Join(fit, " and "), name), Next: next}
	}
	j, err := control.ReadJob(folder, fit[0])
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return driver.Job{}, noJob(op, name, id)
	case err != nil:
		return driver.Job{}, &driver.Error{Class: driver.ErrCorrupt, Op: op, Object: id, Err: err, Next: next}
	}
	return j, nil
}

func noJob(op, name, id string) error {
	return &driver.Error{Class: driver.ErrNotFound, Op: op, Object: id, Err: fmt.Errorf("workspace %s has no such job", name), Next: "microagent list --jobs"}
}

// ofRunning asks the supervisor about a job until the job has ended: its record says how, unless the supervisor answers.
func (s *Store) ofRunning(ctx context.Context, op string, j driver.Job, ask func(control.Client) (driver.Job, error)) (driver.Job, error) {
	folder := s.State.Workspace(j.Workspace)
	for j.State == driver.JobRunning {
		got, err := ask(control.Client{Folder: folder})
		switch {
		case err == nil:
			return got, nil
		case ctx.Err() != nil:
			return j, ctx.Err()
		case errors.Is(err, control.ErrGone): // it ends, and writes the record before it is gone
			if err := (lease.Process{PID: j.PID, BootID: j.BootID, Start: j.Start}).Wait(ctx); err != nil {
				return j, err
			}
		case !errors.Is(err, driver.ErrNotFound): // else it has ended meanwhile
			return j, s.controlError(ctx, op, j.ID, j.Workspace, err)
		}
		if j, err = s.job(op, j.Workspace, j.ID); err != nil {
			return j, err
		}
	}
	return j, nil
}

// WaitJob returns when a job has ended.
func (s *Store) WaitJob(ctx context.Context, name, id string) (driver.Job, error) {
	const op = "wait for job"
	j, err := s.job(op, name, id)
	if err != nil {
		return j, err
	}
	return s.ofRunning(ctx, op, j, func(c control.Client) (driver.Job, error) { return c.WaitJob(ctx, j.ID) })
}

// StopJob ends a job.
func (s *Store) StopJob(ctx context.Context, name, id string, o driver.StopOptions) (driver.Job, error) {
	const op = "stop job"
	j, err := s.job(op, name, id)
	if err != nil {
		return j, err
	}
	return s.ofRunning(ctx, op, j, func(c control.Client) (driver.Job, error) { return c.StopJob(ctx, j.ID, o.Grace, o.Force) })
}

// jobLogs gives what a job of a workspace wrote.
func (s *Store) jobLogs(ctx context.Context, names []string, o driver.LogOptions, each func(driver.Written) error) error {
	const op = "logs of job"
	if len(names) != 1 || o.Stream != "" && o.Stream != "stdout" && o.Stream != "stderr" {
		return &driver.Error{Class: driver.ErrInvalid, Op: op, Object: o.Job, Err: errors.New("a job is of one workspace, and has no console")}
	}
	j, err := s.job(op, names[0], o.Job)
	if err != nil {
		return err
	}
	folder := s.State.Workspace(j.Workspace)
	run := func(layout.Workspace) (*driver.Run, error) { return control.RunOfJob(folder, j.ID) }
	ws := driver.Workspace{Spec: driver.WorkspaceSpec{Name: j.Workspace}, Folder: folder.Job(j.ID).Dir}
	if ws.Run, err = run(folder); err != nil {
		return fmt.Errorf("%s %s: %w", op, j.ID, err)
	}
	return logs.Each(ctx, logs.Request{LogOptions: o, Of: []driver.Workspace{ws}, Run: run}, each)
}

// JobOutput opens an output that a job left.
func (s *Store) JobOutput(ctx context.Context, name, id, out string) (io.ReadCloser, driver.Fetched, error) {
	const op = "output of job"
	j, err := s.job(op, name, id)
	if err != nil {
		return nil, driver.Fetched{}, err
	}
	if j.State == driver.JobRunning {
		return nil, driver.Fetched{}, &driver.Error{Class: driver.ErrNotFound, Op: op, Object: j.ID,
			Err: errors.New("it runs still, and its outputs are collected at its end"), Next: "microagent wait --job " + j.ID + " " + name}
	}
	look := "microagent logs --job " + j.ID + " " + name
	return openCollected(ctx, s.State.Workspace(name).Job(j.ID), j.Collected, collectedOutput{op, j.ID, name, out, look})
}

// TakeJob notes that an output of a job was brought out.
func (s *Store) TakeJob(_ context.Context, name, id, output string) error {
	const op = "note that an output was brought out"
	j, err := s.job(op, name, id)
	if err != nil || slices.Contains(j.Taken, output) {
		return err
	}
	if !slices.ContainsFunc(j.Outputs, func(o driver.JobOutput) bool { return o.Name == output }) {
		return &driver.Error{Class: driver.ErrNotFound, Op: op, Object: j.ID, Err: fmt.Errorf("it has no output %q", output)}
	}
	dir := s.State.Workspace(name).Job(j.ID).File(layout.JobTakenDir)
	err = os.Mkdir(dir, 0o700)
	if err == nil || errors.Is(err, fs.ErrExist) {
		err = layout.WriteFile(filepath.Join(dir, output), nil)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", op, j.ID, err)
	}
	return nil
}

// PruneJobs forgets jobs that ended.
func (s *Store) PruneJobs(ctx context.Context, dry bool) (freed int64, pruned []driver.Job, err error) {
	list, err := s.List(ctx)
	if err != nil {
		return 0, nil, err
	}
	for _, ws := range list {
		folder := s.State.Workspace(ws.Spec.Name)
		jobs, err := control.ListJobs(folder)
		if err != nil {
			return freed, pruned, err
		}
		for _, j := range jobs {
			if j.State == driver.JobRunning || j.Holds() {
				continue
			}
			bytes := allocated(folder.Job(j.ID).Dir)
			if !dry {
				if err := control.RemoveJob(folder, j.ID); err != nil {
					return freed, pruned, fmt.Errorf("prune job %s of workspace %s: %w", j.ID, ws.Spec.Name, err)
				}
			}
			freed += bytes
			pruned = append(pruned, j)
		}
	}
	return freed, pruned, nil
}

// allocated is what the files below a folder take on disk, in bytes.
func allocated(dir string) (bytes int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if info, err := d.Info(); err == nil {
			bytes += layout.Allocated(info)
		}
		return nil
	})
	return bytes
}
