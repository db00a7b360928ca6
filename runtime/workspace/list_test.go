package workspace

import (
	"errors"
	"os"
	"strings"
	"testing"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

// known puts a workspace's record and run in place.
func known(t *testing.T, s *Store, name, run string) {
	t.Helper()
	folder := s.State.Workspace(name)
	if err := os.MkdirAll(folder.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	r := &record{Meta: layout.Meta{Format: layout.Format, Kind: kind, Name: name, ID: "1"}, Spec: driver.WorkspaceSpec{Name: name}}
	if err := s.save(r); err != nil {
		t.Fatal(err)
	}
	if run != "" {
		if err := os.WriteFile(folder.Run(), []byte(run), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTornFilesHideOnlyTheirOwnWorkspace(t *testing.T) {
	s := &Store{State: layout.State{Dir: t.TempDir()}}
	known(t, s, "whole", "")
	known(t, s, "torn-run", `{"id": "12`)
	known(t, s, "torn-record", "")
	torn := s.State.Workspace("torn-record").Record()
	if err := os.Truncate(torn, 20); err != nil {
		t.Fatal(err)
	}
	list, err := s.List(t.Context())
	if len(list) != 1 || list[0].Spec.Name != "whole" {
		t.Errorf("listed: %+v", list)
	}
	if !errors.Is(err, driver.ErrCorrupt) || !strings.Contains(err.Error(), torn) ||
		!strings.Contains(err.Error(), s.State.Workspace("torn-run").Run()) {
		t.Errorf("the error must name both files: %v", err)
	}
}

func TestOutputThatWasNotFetchedSaysWhy(t *testing.T) {
	s := &Store{State: layout.State{Dir: t.TempDir()}}
	known(t, s, "one", `{"phase": "finished", "collected": [{"name": "big", "error": "it is larger than 1 MiB"}]}`)
	_, got, err := s.OutputFile(t.Context(), "one", "big")
	if !errors.Is(err, driver.ErrNotFound) || !strings.Contains(err.Error(), "larger than 1 MiB") || got.Error == "" {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestExecAsksOnlyWhatItNeeds: what is known of an earlier end hinders nobody who uses a run.
func TestExecAsksOnlyWhatItNeeds(t *testing.T) {
	s := &Store{State: layout.State{Dir: t.TempDir()}}
	known(t, s, "one", "")
	if err := os.WriteFile(s.State.Workspace("one").Loss(), []byte(`{"run": "12`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := s.Exec(t.Context(), "one", driver.ExecSpec{Argv: []string{"true"}}, driver.Streams{})
	if !errors.Is(err, driver.ErrRefused) || driver.Next(err) != "microagent start one" {
		t.Errorf("exec in one that does not run: %v", err)
	}
}
