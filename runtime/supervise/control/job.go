package control

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/runtime/lease"
)

// What an id of a job is made of: no letter looks like another, and it begins with one of firstLetters, so that it is never
// a number. With idLength of them the chance that two jobs get one id is 1 in 5e8, and CreateJob tries again.
const (
	firstLetters = "abcdefghjkmnpqrstvwxyz"
	letters      = firstLetters + "23456789"
	idLength     = 6
)

var validJobID = regexp.MustCompile(fmt.Sprintf("^[%s][%s]{%d}$", firstLetters, letters, idLength-1))

func newJobID() string {
	var b [idLength]byte
	_, _ = rand.Read(b[:])
	b[0] = firstLetters[int(b[0])%len(firstLetters)]
	for i := 1; i < idLength; i++ {
		b[i] = letters[int(b[i])%len(letters)]
	}
	return string(b[:])
}

// CreateJob makes the folder of a new job. Without a record in it it is none yet.
func CreateJob(folder layout.Workspace) (id string, err error) {
	if err := os.MkdirAll(folder.Jobs(), 0o700); err != nil {
		return "", err
	}
	for {
		id = newJobID()
		err := os.Mkdir(folder.Job(id).Dir, 0o700)
		if !errors.Is(err, fs.ErrExist) {
			return id, err
		}
	}
}

// WriteJob makes j what is known of its job. Only the supervisor that has the lease may.
func WriteJob(folder layout.Workspace, j driver.Job) error {
	return layout.WriteJSON(folder.Job(j.ID).File(layout.JobFile), jobShapeOf(j))
}

func readJob(folder layout.Workspace, id string) (driver.Job, error) {
	at := folder.Job(id)
	var r jobShape
	if err := layout.ReadJSON(at.File(layout.JobFile), &r); err != nil {
		return driver.Job{}, err
	}
	if r.ID != id {
		return driver.Job{}, fmt.Errorf("%s describes job %q", at.File(layout.JobFile), r.ID)
	}
	j := r.job(filepath.Base(folder.Dir))
	taken, err := os.ReadDir(at.File(layout.JobTakenDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return driver.Job{}, err
	}
	for _, e := range taken {
		j.Taken = append(j.Taken, e.Name())
	}
	return j, nil
}

// ReadJob reads a job, fs.ErrNotExist when there is none. One whose supervisor is gone without having seen its end is shown
// as lost; nothing is written.
func ReadJob(folder layout.Workspace, id string) (driver.Job, error) {
	if !validJobID.MatchString(id) {
		return driver.Job{}, fs.ErrNotExist
	}
	j, err := readJob(folder, id)
	if err != nil || j.State != driver.JobRunning {
		return j, err
	}
	if (lease.Process{PID: j.PID, BootID: j.BootID, Start: j.Start}).Alive() {
		return j, nil
	}
	// It may have ended between the looks.
	if j, err = readJob(folder, id); err != nil || j.State != driver.JobRunning {
		return j, err
	}
	run, err := readRun(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return j, err
	}
	loseJob(&j, run)
	return j, nil
}

// RunOfJob shows a job as a run of its own, of its supervisor, for those who follow runs.
func RunOfJob(folder layout.Workspace, id string) (*driver.Run, error) {
	j, err := ReadJob(folder, id)
	if err != nil {
		return nil, err
	}
	run := &driver.Run{ID: j.ID, Started: j.Started, Ended: j.Ended, ExitCode: j.ExitCode, Stopped: j.State == driver.JobStopped, Phase: driver.PhaseFinished}
	switch j.State {
	case driver.JobRunning:
		run.Phase, run.PID, run.BootID, run.Start = driver.PhaseRunning, j.PID, j.BootID, j.Start
	case driver.JobLost:
		run.Phase = driver.PhaseLost
	}
	return run, nil
}

// Why jobs end with their run.
const (
	JobWorkspaceStopped = "the workspace was stopped"
	JobRunEnded         = "the workspace's run ended"
	JobGuestRebooted    = "the guest rebooted"
	jobSupervisorKilled = "the workspace's supervisor was killed"
)

// loseJob ends a job whose end its supervisor did not see. last is the newest run of the workspace, and need not be the
// job's.
func loseJob(j *driver.Job, last driver.Run) {
	j.State, j.Error = driver.JobLost, jobSupervisorKilled
	if last.ID != j.RunID || last.Phase.Alive() {
		return
	}
	j.Ended = last.Ended
	switch {
	case last.Stopped:
		j.State, j.Error = driver.JobStopped, JobWorkspaceStopped
	case last.Phase == driver.PhaseFailed:
		j.Error = "the guest broke: " + last.Error
	default:
		j.Error = JobRunEnded
	}
}

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
		if !validJobID.MatchString(e.Name()) {
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
		if _, err := os.Lstat(at.File(layout.JobFile)); errors.Is(err, fs.ErrNotExist) && validJobID.MatchString(e.Name()) {
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
