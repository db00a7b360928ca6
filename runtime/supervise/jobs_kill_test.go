package supervise

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"microagent/runtime/driver"
	"microagent/runtime/guest/proto"
	"microagent/runtime/supervise/control"
)

// TestAJobIsToldOfAtEveryStep kills the supervisor behind each step of a job, from its beginning to its end: it is not there,
// or lost, or ended as it did with what it left, before the next supervisor comes and behind it; and nothing is left that is
// no job.
func TestAJobIsToldOfAtEveryStep(t *testing.T) {
	const none driver.JobState = ""
	cases := []driver.JobState{
		none,                             // nothing is done
		none, none, none, driver.JobLost, // room, folder, log, record
		driver.JobLost, driver.JobLost, // its process, a place among those that run
		driver.JobLost, driver.JobLost, driver.JobExited, driver.JobExited, // the log's end, its outputs, the record, its place is free
	}
	for done := range cases {
		synctest.Test(t, func(t *testing.T) {
			s, l := working(t, &jobGuest{tree: treeOf(t, "f", "text")})
			s.self.Start++ // so that whoever looks takes it for dead
			s.jobs.reserve()
			j := s.newJob(l, driver.JobSpec{Exec: driver.ExecSpec{Argv: []string{"x"}}, Outputs: []driver.JobOutput{{Name: "o", From: "/o", To: "/x/o"}}})
			doSteps(t, done, done == len(cases)-1,
				func() []func() error { return s.makeJobSteps(j) },
				func() []func() error { return s.beginJobSteps(t.Context(), j, driver.ExecSpec{}) },
				func() []func() error {
					j.process.Close() // what it wrote is in its log
					return s.endJobSteps(t.Context(), j, proto.Exit{Code: 3}, nil)
				})
			look := func(when string) {
				list, err := control.ListJobs(s.folder)
				switch {
				case err != nil || (len(list) == 1) != (cases[done] != none):
					t.Errorf("%d steps, %s: %+v, %v", done, when, list, err)
				case cases[done] == none:
				case list[0].State != cases[done] || list[0].Holds() != (cases[done] == driver.JobExited):
					t.Errorf("%d steps, %s: %+v", done, when, list[0])
				case list[0].State == driver.JobExited:
					text, err := os.ReadFile(filepath.Join(s.folder.Job(j.record.ID).Dir, list[0].Collected[0].Path, "f"))
					if err != nil || string(text) != "text" || *list[0].ExitCode != 3 {
						t.Errorf("%d steps, %s: it left %q, %v: %+v", done, when, text, err, list[0])
					}
				}
			}
			look("before the next supervisor")
			if err := control.SweepJobs(s.folder); err != nil {
				t.Fatal(err)
			}
			look("behind its sweep")
			if folders, err := os.ReadDir(s.folder.Jobs()); !os.IsNotExist(err) && (err != nil || (len(folders) == 1) != (cases[done] != none)) {
				t.Errorf("%d steps: %d folders are left, %v", done, len(folders), err)
			}
		})
	}
}

// treeOf is a folder with one file, as a guest sends it.
func treeOf(t *testing.T, name, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range []*tar.Header{{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755}, {Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(text))}} {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
