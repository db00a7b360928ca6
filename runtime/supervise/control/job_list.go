package control

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

// JobIDs are the jobs that have a record.
func JobIDs(folder layout.Workspace) ([]string, error) {
	entries, err := os.ReadDir(folder.Jobs())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, e := range entries {
		if !validJobID().MatchString(e.Name()) {
			continue
		}
		if _, err := os.Lstat(folder.Job(e.Name()).File(layout.JobFile)); err == nil {
			ids = append(ids, e.Name())
		}
	}
	return ids, nil
}

// ListJobs reads a workspace's jobs, oldest first. One whose record can't be read is left out, and told of in the error; one
// that is removed meanwhile is left out.
func ListJobs(folder layout.Workspace) ([]driver.Job, error) {
	ids, err := JobIDs(folder)
	if err != nil {
		return nil, err
	}
	var list []driver.Job
	var broken []error
	for _, id := range ids {
		j, err := ReadJob(folder, id)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			broken = append(broken, &driver.Error{
				Class: driver.ErrCorrupt, Op: "read job", Object: id, Err: err, Next: "its files are untouched; move " + folder.Job(id).Dir + " away",
			})
		default:
			list = append(list, j)
		}
	}
	slices.SortFunc(list, func(a, b driver.Job) int {
		if c := a.Started.Compare(b.Started); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return list, errors.Join(broken...)
}

// RemoveJob removes a job, its record first: killed in the middle it leaves a folder that is no job.
func RemoveJob(folder layout.Workspace, id string) error {
	at := folder.Job(id)
	if err := os.Remove(at.File(layout.JobFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.RemoveAll(at.Dir)
}

// SweepJobs is for a supervisor that has the lease and has not begun its own run: jobs of earlier runs that have no end get
// theirs, and folders that are no job go.
func SweepJobs(folder layout.Workspace) error {
	entries, err := os.ReadDir(folder.Jobs())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var errs []error
	for _, e := range entries {
		at := folder.Job(e.Name())
		if _, err := os.Lstat(at.File(layout.JobFile)); errors.Is(err, fs.ErrNotExist) && validJobID().MatchString(e.Name()) {
			errs = append(errs, os.RemoveAll(at.Dir))
			continue
		}
		kept, err := readJob(folder, e.Name())
		if err != nil || kept.State != driver.JobRunning {
			continue // ListJobs tells of one that can't be read
		}
		j, err := ReadJob(folder, e.Name())
		if err == nil && j.State != driver.JobRunning {
			err = WriteJob(folder, j)
		}
		errs = append(errs, err)
	}
	return errors.Join(append(errs, err)...)
}
