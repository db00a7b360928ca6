package volume

import (
	"os"
	"strings"
	"testing"

	"microagent/runtime/driver"
)

// TestMoveIsWholeAtEveryStep cuts a move short behind each of its steps: one of the two names is a volume, with its identity and
// its image, before and after the next command sweeps up, and the same move can be done again.
func TestMoveIsWholeAtEveryStep(t *testing.T) {
	steps := -1
	for done := 0; steps < 0 || done <= steps; done++ {
		s := store(t)
		made, _, err := s.Create(t.Context(), driver.VolumeSpec{Name: "p.old", Project: "p", Size: 16 << 20})
		if err != nil {
			t.Fatal(err)
		}
		r, err := s.load("p.old")
		if err != nil {
			t.Fatal(err)
		}
		all := s.moveSteps(r, "q.new", "q")
		steps = len(all)
		for _, step := range all[:done] {
			if err := step(); err != nil {
				t.Fatal(err)
			}
		}
		next := &Store{State: s.State, Disks: s.Disks, Tool: "next"}
		onlyOne := func(when string) string {
			t.Helper()
			list, err := next.List(t.Context())
			if err != nil || len(list) != 1 || list[0].ID != made.ID || list[0].ImageMissing || list[0].RecordDigest == "" {
				t.Fatalf("%d steps, %s: %+v, %v", done, when, list, err)
			}
			return list[0].Name
		}
		onlyOne("before anything")
		if _, _, err := next.Create(t.Context(), driver.VolumeSpec{Name: "p.sweeps", Project: "p", Size: 16 << 20}); err != nil {
			t.Fatal(err)
		}
		if err := next.Delete(t.Context(), "p.sweeps"); err != nil {
			t.Fatal(err)
		}
		name := onlyOne("after the sweep")
		if name == "p.old" {
			if err := next.Move(t.Context(), "p.old", "q.new", "q"); err != nil {
				t.Fatalf("%d steps: the same move again: %v", done, err)
			}
			name = onlyOne("moved again")
		}
		if v, err := next.Get(t.Context(), name); err != nil || name != "q.new" || v.Project != "q" {
			t.Errorf("%d steps: it is %+v, %v", done, v, err)
		}
		entries, err := os.ReadDir(s.State.Volumes())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), "p.old") {
				t.Errorf("%d steps: %s is left", done, e.Name())
			}
		}
	}
}

// TestMoveHidesNoLoss: a volume whose image went away is told of, also when a move had marked its record.
func TestMoveHidesNoLoss(t *testing.T) {
	s := store(t)
	if _, _, err := s.Create(t.Context(), driver.VolumeSpec{Name: "old", Size: 16 << 20}); err != nil {
		t.Fatal(err)
	}
	r, err := s.load("old")
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range s.moveSteps(r, "new", "")[:2] {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(s.State.VolumeImage("old")); err != nil {
		t.Fatal(err)
	}
	if v, err := s.Get(t.Context(), "old"); err != nil || !v.ImageMissing {
		t.Errorf("%+v, %v", v, err)
	}
}
