package control

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"microagent/runtime/driver"
)

// StartJob begins a job. ErrRefused says that an older microagent runs the workspace, which knows no jobs.
func (c Client) StartJob(ctx context.Context, spec driver.JobSpec) (driver.Job, error) {
	j, err := c.askJob(ctx, jobRequest{header: c.head(CallStartJob), Spec: specWireOf(spec.Exec), Outputs: jobOutputShapes(spec.Outputs)})
	return j, c.jobsUnknown(err)
}

// jobsUnknown says what to do about a supervisor that knows no jobs.
func (c Client) jobsUnknown(err error) error {
	if e, ok := errors.AsType[*driver.Error](err); !ok || e.Class != driver.ErrUnsupported || e.Op != opUnknown {
		return err
	}
	name := filepath.Base(c.Folder.Dir)
	return &driver.Error{
		Class: driver.ErrRefused, Op: "start job in workspace", Object: name, Err: errors.New("an older microagent runs it, which knows no jobs"),
		Next: "to have this one do so: " + restart(name),
	}
}

// WaitJob returns when a running job has ended.
func (c Client) WaitJob(ctx context.Context, id string) (driver.Job, error) {
	return c.askJob(ctx, ofJobRequest{header: c.head(CallWaitJob), ID: id})
}

// StopJob ends a job and returns when it has ended.
func (c Client) StopJob(ctx context.Context, id string, grace time.Duration, force bool) (driver.Job, error) {
	return c.askJob(ctx, ofJobRequest{header: c.head(CallStopJob), ID: id, Grace: grace, Force: force})
}

func (c Client) askJob(ctx context.Context, request any) (driver.Job, error) {
	r, err := call[jobResult](ctx, c, exchange{request: request})
	if err == nil && r.Job == nil {
		err = fmt.Errorf("control: an answer without a job")
	}
	if err != nil {
		return driver.Job{}, err
	}
	return r.Job.job(filepath.Base(c.Folder.Dir)), nil
}
