package control

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/runtime/lease"
	"microagent/schema/pattern"
)

// What an id of a job is made of: no letter looks like another, and it begins with one of firstLetters, so that it is never
// a number. With idLength of them the chance that two jobs get one id is 1 in 5e8, and CreateJob tries again.
const (
	firstLetters = "abcdefghjkmnpqrstvwxyz"
	letters      = firstLetters + "23456789"
	idLength     = 6
)

var validJobID = pattern.Of(fmt.Sprintf("^[%s][%s]{%d}$", firstLetters, letters, idLength-1))

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
	if !validJobID().MatchString(id) {
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
