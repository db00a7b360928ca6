package apply

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"microagent/runtime/driver"
	"microagent/runtime/drivertest"
)

// finishedJob is a job of a running workspace, whose outputs are to lie at those places.
func finishedJob(t *testing.T, places map[string]string) (driver.Set, driver.Job) {
	t.Helper()
	w := &drivertest.FakeWorkspaces{}
	if _, err := w.Create(t.Context(), driver.WorkspaceSpec{Name: "one", Process: driver.Process{Mode: driver.ModeIdle}}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Start(t.Context(), "one", driver.StartOptions{}); err != nil {
		t.Fatal(err)
	}
	spec := driver.JobSpec{Exec: driver.ExecSpec{Argv: []string{"sh", "-c", "echo 42 > /a"}}}
	for name, to := range places {
		spec.Outputs = append(spec.Outputs, driver.JobOutput{Name: name, From: "/a", To: to})
	}
	j, err := w.StartJob(t.Context(), "one", spec)
	if err == nil {
		j, err = w.WaitJob(t.Context(), "one", j.ID)
	}
	if err != nil {
		t.Fatal(err)
	}
	return driver.Set{Workspaces: w, Jobs: w, Outputs: writing{}}, j
}

// writing writes what it is given as one file, where the target says.
type writing struct{ driver.Outputs }

func (writing) Digest(_ context.Context, t driver.Target) (string, error) {
	root, err := t.Enter(false)
	if errors.Is(err, os.ErrNotExist) {
		return "", driver.ErrNotFound
	}
	if err != nil {
		return "", err
	}
	defer root.Close()
	if _, err := root.Lstat(filepath.Base(t.Path)); err == nil {
		return "another", nil
	}
	return "", driver.ErrNotFound
}

func (writing) Publish(_ context.Context, tree io.Reader, t driver.Target, _ driver.Publishing) (driver.Fetched, error) {
	root, err := t.Enter(true)
	if err != nil {
		return driver.Fetched{}, err
	}
	defer root.Close()
	data, err := io.ReadAll(tree)
	if err == nil {
		err = root.WriteFile(filepath.Base(t.Path), data, 0o600)
	}
	return driver.Fetched{}, err
}

// TestBringOut: to where it was told and nowhere else, and what lies there is noted as taken.
func TestBringOut(t *testing.T) {
	home := t.TempDir()
	at := func(name string) string {
		t.Helper()
		place, err := JobPlace(filepath.Join(home, name))
		if err != nil {
			t.Fatal(err)
		}
		return place
	}
	for _, dir := range []string{"linked", "other", "plain"} {
		if err := os.Mkdir(filepath.Join(home, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	d, j := finishedJob(t, map[string]string{"new": at("made/new/x"), "there": at("plain/x"), "moved": at("linked/x"), "git": filepath.Join(home, ".git/hooks/x")})
	// Since it was told, one place became something else, and one a link to elsewhere.
	if err := errors.Join(os.WriteFile(filepath.Join(home, "plain/x"), []byte("mine"), 0o600),
		os.Remove(filepath.Join(home, "linked")), os.Symlink("other", filepath.Join(home, "linked"))); err != nil {
		t.Fatal(err)
	}
	written, unwritten := BringOut(t.Context(), d, j, Writing{})
	if len(written) != 1 || written[0].Name != "new" || len(unwritten) != 3 {
		t.Errorf("written %+v, not %v", written, unwritten)
	}
	for _, err := range unwritten {
		if driver.Next(err) == "" {
			t.Errorf("%v does not say what to do", err)
		}
	}
	for name, there := range map[string]bool{"made/new/x": true, "other/x": false, ".git": false} {
		if _, err := os.Lstat(filepath.Join(home, name)); (err == nil) != there {
			t.Errorf("%s: %v", name, err)
		}
	}
	if data, err := os.ReadFile(filepath.Join(home, "plain/x")); err != nil || string(data) != "mine" {
		t.Errorf("what was there is %q, %v", data, err)
	}
	list, err := d.Jobs.Jobs(t.Context(), "one")
	if err != nil || len(list[0].Taken) != 1 || list[0].Taken[0] != "new" || !list[0].Holds() {
		t.Errorf("%+v, %v", list, err)
	}
	lost, err := d.Jobs.StartJob(t.Context(), "one", driver.JobSpec{Exec: driver.ExecSpec{Argv: []string{"sh", "-c", "sleep 1000"}},
		Outputs: []driver.JobOutput{{Name: "x", From: "/x", To: at("lost")}}})
	if err != nil {
		t.Fatal(err)
	}
	d.Workspaces.(*drivertest.FakeWorkspaces).Break("one", driver.PhaseFailed, "kernel panic")
	if lost, err = d.Jobs.WaitJob(t.Context(), "one", lost.ID); err != nil || lost.State != driver.JobLost {
		t.Fatal(lost, err)
	}
	if written, unwritten := BringOut(t.Context(), d, lost, Writing{}); len(written) > 0 || len(unwritten) != 1 || !strings.Contains(unwritten[0].Error(), "was not collected: ") {
		t.Errorf("of a lost one: %v, %v", written, unwritten)
	}
}

type jobs = driver.Jobs

// mortalJobs take note of outputs while the process lives.
type mortalJobs struct {
	jobs
	*life
}

func (m mortalJobs) TakeJob(ctx context.Context, workspace, id, output string) error {
	if err := m.spend(); err != nil {
		return err
	}
	return m.jobs.TakeJob(ctx, workspace, id, output)
}

// TestEveryKillOfBringingOutConverges kills the process that brings a job's outputs out before each of its effects: the next
// one brings the rest, finds nothing in its way, and leaves nothing that is held.
func TestEveryKillOfBringingOutConverges(t *testing.T) {
	for effects := 0; ; effects++ {
		home, err := JobPlace(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		d, j := finishedJob(t, map[string]string{"a": filepath.Join(home, "a"), "b": filepath.Join(home, "b")})
		d.Outputs = &drivertest.FakeOutputs{}
		l := &life{effects: effects}
		mortal := d
		mortal.Outputs, mortal.Jobs = mortalOutputs{d.Outputs, l}, mortalJobs{d.Jobs, l}
		_, unwritten := BringOut(t.Context(), mortal, j, Writing{})
		for _, err := range unwritten {
			if !errors.Is(err, errKilled) {
				t.Errorf("killed after %d effects: %v", effects, err)
			}
		}
		if list, err := d.Jobs.Jobs(t.Context(), "one"); err != nil || list[0].Holds() != l.dead {
			t.Errorf("killed after %d effects: %+v, %v", effects, list, err)
		}
		if written, unwritten := BringOut(t.Context(), d, j, Writing{}); len(written) != 2 || len(unwritten) != 0 {
			t.Errorf("after %d effects, the next: %v, %v", effects, written, unwritten)
		}
		if list, err := d.Jobs.Jobs(t.Context(), "one"); err != nil || list[0].Holds() {
			t.Errorf("after %d effects, and the next: %+v, %v", effects, list, err)
		}
		if !l.dead {
			if effects != 4 { // each of two is written, and noted
				t.Errorf("it had %d effects", effects)
			}
			return
		}
	}
}

// TestJobPlace: links that lead to it are resolved once, when it is named; a git folder is refused.
func TestJobPlace(t *testing.T) {
	home, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Mkdir(filepath.Join(home, "real"), 0o700), os.Symlink("real", filepath.Join(home, "link")), os.Mkdir(filepath.Join(home, ".git"), 0o700)); err != nil {
		t.Fatal(err)
	}
	if got, err := JobPlace(filepath.Join(home, "link/a/b")); err != nil || got != filepath.Join(home, "real/a/b") {
		t.Errorf("%s, %v", got, err)
	}
	for _, name := range []string{".git/x", "real/.GIT/x", "link/.git"} {
		if got, err := JobPlace(filepath.Join(home, name)); !errors.Is(err, driver.ErrRefused) {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
}
