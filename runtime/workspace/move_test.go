package workspace

import (
	"errors"
	"os"
	"testing"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/runtime/volume"
)

// TestMoveIsWholeAtEveryStep cuts a move short behind each of its steps: there is one workspace, whole, under one of the two
// names, and the same move can be done again where it had not come so far.
func TestMoveIsWholeAtEveryStep(t *testing.T) {
	steps := -1
	for done := 0; steps < 0 || done <= steps; done++ {
		s := wordStore(t)
		one := rooted("key")
		one.Mounts = []driver.Mount{{Kind: driver.MountVolume, Name: "p.data", Path: "/data"}}
		create(t, s, one)
		before, err := s.Get(t.Context(), "one")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(s.State.Volumes(), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(s.State.VolumeImage("p.data"), []byte("data"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := volume.WriteHolder(s.State, "p.data", driver.Holder{Workspace: "one", PID: 1}); err != nil {
			t.Fatal(err)
		}
		job := s.State.Workspace("one").Job("k7q").Dir
		if err := os.MkdirAll(job, 0o700); err != nil {
			t.Fatal(err)
		}
		r, err := s.load("one")
		if err != nil {
			t.Fatal(err)
		}
		all := s.moveSteps(r, "p.two", "p")
		steps = len(all)
		for _, step := range all[:done] {
			if err := step(); err != nil {
				t.Fatal(err)
			}
		}
		next := &Store{State: s.State, Disks: words{}, Tool: "next"}
		list, err := next.List(t.Context())
		if err != nil || len(list) != 1 || list[0].ID != before.ID || list[0].RootFSMissing {
			t.Fatalf("%d steps: %+v, %v", done, list, err)
		}
		want := "one"
		if done >= 2 {
			want = "p.two"
		}
		if got := list[0].Spec; got.Name != want || done >= 2 && got.Project != "p" {
			t.Errorf("%d steps: it is %s of project %q", done, got.Name, got.Project)
		}
		if done < 2 {
			if err := next.Move(t.Context(), "one", "p.two", "p"); err != nil {
				t.Fatalf("%d steps: the same move again: %v", done, err)
			}
		}
		other := list[0].Spec
		other.Name, other.Project, other.CPUs = "p.two", "p", 2
		if _, err := next.Update(t.Context(), other); err != nil {
			t.Fatalf("%d steps: update: %v", done, err)
		}
		got, err := next.Get(t.Context(), "p.two")
		if err != nil || got.ID != before.ID || got.Spec.CPUs != 2 {
			t.Errorf("%d steps: %+v, %v", done, got, err)
		}
		holds(t, s.State.Workspace("p.two").RootFS(), "key")
		if _, err := os.Stat(s.State.Workspace("p.two").Job("k7q").Dir); err != nil {
			t.Errorf("%d steps: its job: %v", done, err)
		}
		if _, err := os.Stat(s.State.Workspace("one").Dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%d steps: the old folder: %v", done, err)
		}
		if h, err := volume.ReadHolder(s.State, "p.data"); err != nil || h == nil || done < 2 && h.Workspace != "p.two" {
			t.Errorf("%d steps: holder %+v, %v", done, h, err)
		}
	}
}

// TestRecordOfAnotherNameIsStillRefused: only a move explains a record with another name than its folder.
func TestRecordOfAnotherNameIsStillRefused(t *testing.T) {
	s := wordStore(t)
	create(t, s, rooted("key"))
	if err := os.Rename(s.State.Workspace("one").Dir, s.State.Workspace("two").Dir); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), "two"); !errors.Is(err, driver.ErrCorrupt) {
		t.Errorf("a folder that was renamed by hand: %v", err)
	}
	var r record
	if err := layout.ReadJSON(s.State.Workspace("two").Record(), &r); err != nil {
		t.Fatal(err)
	}
	r.Moving = &moving{To: "three"}
	if err := layout.WriteJSON(s.State.Workspace("two").Record(), &r); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), "two"); !errors.Is(err, driver.ErrCorrupt) {
		t.Errorf("a record that goes elsewhere: %v", err)
	}
}
