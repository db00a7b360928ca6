package control

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/runtime/lease"
)

// writtenJob begins a job of a run whose supervisor is this process, or one that is dead.
func writtenJob(t *testing.T, folder layout.Workspace, run string, alive bool) driver.Job {
	t.Helper()
	id, err := CreateJob(folder)
	if err != nil {
		t.Fatal(err)
	}
	self, err := lease.Self()
	if err != nil {
		t.Fatal(err)
	}
	if !alive {
		self.Start++
	}
	j := driver.Job{ID: id, Workspace: filepath.Base(folder.Dir), RunID: run, Argv: []string{"x"}, Started: time.Now().UTC(), State: driver.JobRunning,
		PID: self.PID, BootID: self.BootID, Start: self.Start}
	if err := WriteJob(folder, j); err != nil {
		t.Fatal(err)
	}
	return j
}

// TestAJobNeverRunsForEver: what its record says counts while its supervisor lives, and then how the run ended.
func TestAJobNeverRunsForEver(t *testing.T) {
	ended := time.Now().UTC()
	for name, c := range map[string]struct {
		alive bool
		last  *driver.Run
		state driver.JobState
		why   string
	}{
		"its supervisor lives":       {true, &driver.Run{ID: "r", Phase: driver.PhaseReady}, driver.JobRunning, ""},
		"its run restarted":          {true, &driver.Run{ID: "next", Phase: driver.PhaseStarting}, driver.JobRunning, ""},
		"killed":                     {false, &driver.Run{ID: "r", Phase: driver.PhaseReady}, driver.JobLost, "the workspace's supervisor was killed"},
		"killed, started since":      {false, &driver.Run{ID: "other", Phase: driver.PhaseReady}, driver.JobLost, "the workspace's supervisor was killed"},
		"killed, without a run.json": {false, nil, driver.JobLost, "the workspace's supervisor was killed"},
		"stopped":                    {false, &driver.Run{ID: "r", Phase: driver.PhaseFinished, Stopped: true, Ended: &ended}, driver.JobStopped, "the workspace was stopped"},
		"crashed":                    {false, &driver.Run{ID: "r", Phase: driver.PhaseFailed, Error: "panic", Ended: &ended}, driver.JobLost, "the guest broke: panic"},
		"finished":                   {false, &driver.Run{ID: "r", Phase: driver.PhaseFinished, Ended: &ended}, driver.JobLost, "the workspace's run ended"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := layout.Workspace{Dir: filepath.Join(t.TempDir(), "one")}
			j := writtenJob(t, folder, "r", c.alive)
			if c.last != nil {
				if err := WriteRun(folder, *c.last); err != nil {
					t.Fatal(err)
				}
			}
			got, err := ReadJob(folder, j.ID)
			if err != nil || got.State != c.state || got.Error != c.why {
				t.Errorf("%s %q, %v", got.State, got.Error, err)
			}
			if run, err := RunOfJob(folder, j.ID); err != nil || run.Phase.Alive() != (c.state == driver.JobRunning) {
				t.Errorf("as a run: %+v, %v", run, err)
			}
			if kept, err := readJob(folder, j.ID); err != nil || kept.State != driver.JobRunning {
				t.Errorf("a look wrote %+v, %v", kept, err)
			}
			// The next supervisor writes it down, whatever its own run will be.
			if err := SweepJobs(folder); err != nil {
				t.Fatal(err)
			}
			if kept, err := readJob(folder, j.ID); err != nil || kept.State != c.state || kept.Error != c.why {
				t.Errorf("swept: %+v, %v", kept, err)
			}
		})
	}
}

// TestSweepJobs removes what a supervisor left that was killed while it made a job, and touches nothing else.
func TestSweepJobs(t *testing.T) {
	folder := layout.Workspace{Dir: filepath.Join(t.TempDir(), "one")}
	if err := SweepJobs(folder); err != nil {
		t.Fatal(err)
	}
	half, err := CreateJob(folder)
	if err != nil {
		t.Fatal(err)
	}
	torn, err := CreateJob(folder)
	if err == nil {
		err = os.WriteFile(folder.Job(torn).File(layout.JobFile), []byte("{"), 0o600)
	}
	if err == nil {
		err = os.Mkdir(filepath.Join(folder.Jobs(), "mine"), 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	whole := writtenJob(t, folder, "r", true)
	if err := SweepJobs(folder); err != nil {
		t.Fatal(err)
	}
	for name, there := range map[string]bool{half: false, torn: true, "mine": true, whole.ID: true} {
		if _, err := os.Lstat(folder.Job(name).Dir); (err == nil) != there {
			t.Errorf("%s: %v", name, err)
		}
	}
	list, err := ListJobs(folder)
	if len(list) != 1 || list[0].ID != whole.ID || !errors.Is(err, driver.ErrCorrupt) || driver.Next(err) == "" {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestIDsOfJobs(t *testing.T) {
	for range 1000 {
		if id := newJobID(); !validJobID().MatchString(id) {
			t.Fatal(id)
		}
	}
	folder := layout.Workspace{Dir: filepath.Join(t.TempDir(), "one")}
	for _, id := range []string{"", ".", "..", "../../x", "a", "abcdefg", "234567", "Abcdef"} {
		if _, err := ReadJob(folder, id); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// TestACallIsForOneRun: a supervisor whose run is another refuses it, whatever it is.
func TestACallIsForOneRun(t *testing.T) {
	client := listening(t, booting{}) // whose run is r
	client.IfRun = "s"
	_, err := client.StartJob(t.Context(), driver.JobSpec{Exec: driver.ExecSpec{Argv: []string{"x"}}})
	if !errors.Is(err, driver.ErrRefused) || driver.Next(err) == "" {
		t.Errorf("a job: %v", err)
	}
	if _, _, err := client.Exec(t.Context(), driver.ExecSpec{Argv: []string{"x"}}, driver.Streams{}); !errors.Is(err, driver.ErrRefused) {
		t.Errorf("an exec: %v", err)
	}
	if err := client.Fetch(t.Context(), "/x", 1, nil); !errors.Is(err, driver.ErrRefused) {
		t.Errorf("a copy: %v", err)
	}
	client.IfRun = "r"
	if _, _, err := client.Status(t.Context()); err != nil {
		t.Errorf("its own: %v", err)
	}
}

// TestAnOlderSupervisorKnowsNoJobs, and says so in words that lead on.
func TestAnOlderSupervisorKnowsNoJobs(t *testing.T) {
	client := listening(t, booting{})
	_, err := client.askJob(t.Context(), header{Version: Version, Call: "nothing of the kind"})
	if !errors.Is(err, driver.ErrUnsupported) {
		t.Fatal(err)
	}
	err = client.jobsUnknown(err)
	if !errors.Is(err, driver.ErrRefused) || driver.Next(err) == "" {
		t.Errorf("%v", err)
	}
}
