package workspace

import (
	"errors"
	"os"
	"testing"
	"testing/synctest"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

// onlyKept sees that nothing of workspace one is there but a root file system that holds key.
func onlyKept(t *testing.T, s *Store, key string) {
	t.Helper()
	if list, err := s.List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("workspaces: %+v, %v", list, err)
	}
	list, err := s.Kept(t.Context())
	if err != nil || len(list) != 1 || list[0].Workspace != "one" || !list[0].Deleted || !list[0].Known || list[0].Since.IsZero() {
		t.Errorf("kept: %+v, %v", list, err)
	}
	holds(t, s.State.Workspace("one").File(layout.RootFSPrev), key)
	entries, err := os.ReadDir(s.State.Workspace("one").Dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("left: %v, %v", entries, err)
	}
}

// TestPruneOfWhatAnotherHas: a command that is at a workspace keeps what is kept of it.
func TestPruneOfWhatAnotherHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := wordStore(t)
		create(t, s, rooted("old"))
		if _, err := s.Replace(t.Context(), rooted("new"), nil); err != nil {
			t.Fatal(err)
		}
		unlock, err := s.State.Lock(t.Context(), kind, "one", 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unlock()
		if _, _, err := s.Prune(t.Context(), false); !errors.Is(err, driver.ErrLocked) || driver.Next(err) == "" {
			t.Errorf("%v, next %q", err, driver.Next(err))
		}
		holds(t, s.State.Workspace("one").File(layout.RootFSPrev), "old")
	})
}

// TestRetireIsWholeAtEveryStep cuts it short behind each of its steps: the next change of the workspace does the rest, and the
// root file system that it had is kept, whole, also when an earlier one was.
func TestRetireIsWholeAtEveryStep(t *testing.T) {
	steps := -1
	for done := 0; steps < 0 || done <= steps; done++ {
		s := wordStore(t)
		create(t, s, rooted("older"))
		if _, err := s.Replace(t.Context(), rooted("old"), nil); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(s.State.Workspace("one").File(layout.OutputLog), []byte("log"), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := s.load("one")
		if err != nil {
			t.Fatal(err)
		}
		all := s.retireSteps(r)
		steps = len(all)
		for _, step := range all[:done] {
			if err := step(); err != nil {
				t.Fatal(err)
			}
		}
		next := &Store{State: s.State, Disks: words{}, Tool: "next"}
		if list, err := next.List(t.Context()); err != nil || (len(list) == 1) != (done == 0) {
			t.Errorf("%d steps: %+v, %v", done, list, err)
		}
		if err := next.Retire(t.Context(), "one"); err != nil {
			t.Fatalf("%d steps: %v", done, err)
		}
		onlyKept(t, next, "old")
		if t.Failed() {
			t.Fatalf("%d steps", done)
		}
	}
}

// TestReviveIsWholeAtEveryStep: what was kept of a workspace that is gone comes back, or is kept by what is made in its place.
func TestReviveIsWholeAtEveryStep(t *testing.T) {
	steps := -1
	for done := 0; steps < 0 || done <= steps; done++ {
		for _, again := range []bool{true, false} {
			s := wordStore(t)
			create(t, s, rooted("old"))
			before, err := s.Get(t.Context(), "one")
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Retire(t.Context(), "one"); err != nil {
				t.Fatal(err)
			}
			onlyKept(t, s, "old")
			all := s.reviveSteps(s.loadKept("one"))
			steps = len(all)
			for _, step := range all[:done] {
				if err := step(); err != nil {
					t.Fatal(err)
				}
			}
			folder := s.State.Workspace("one")
			if done < 2 && !again {
				create(t, s, rooted("fresh"))
				holds(t, folder.RootFS(), "fresh")
				holds(t, folder.File(layout.RootFSPrev), "old")
				if _, err := s.Restore(t.Context(), "one"); err != nil {
					t.Fatal(err)
				}
				holds(t, folder.File(layout.RootFSPrev), "fresh")
			} else if done < 2 {
				if _, err := s.Restore(t.Context(), "one"); err != nil {
					t.Fatalf("%d steps: %v", done, err)
				}
			}
			got, err := s.Get(t.Context(), "one")
			if err != nil || got.ID != before.ID || got.Spec.RootFS != "old" || got.RootFSMissing {
				t.Errorf("%d steps: %+v, %v", done, got, err)
			}
			holds(t, folder.RootFS(), "old")
		}
	}
}

// TestExchangeIsWholeAtEveryStep: a workspace and what was kept of it change places, or don't, at every step; and back.
func TestExchangeIsWholeAtEveryStep(t *testing.T) {
	steps := -1
	for done := 0; steps < 0 || done <= steps; done++ {
		for _, halfway := range []bool{false, true} { // of renames on a file system that can't exchange
			s := wordStore(t)
			create(t, s, rooted("old"))
			before, err := s.Get(t.Context(), "one")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Replace(t.Context(), rooted("new"), nil); err != nil {
				t.Fatal(err)
			}
			after, err := s.Get(t.Context(), "one")
			if err != nil {
				t.Fatal(err)
			}
			r, err := s.load("one")
			if err != nil {
				t.Fatal(err)
			}
			folder := s.State.Workspace("one")
			all := s.exchangeSteps(r, s.loadKept("one").record)
			steps = len(all)
			for _, step := range all[:done] {
				if err := step(); err != nil {
					t.Fatal(err)
				}
			}
			want, wantID, other := "new", after.ID, "old"
			if done >= 2 {
				want, wantID, other = "old", before.ID, "new"
			}
			if halfway {
				move := map[int][2]string{1: {folder.RootFS(), folder.File(nextFile)}, 2: {folder.File(layout.RootFSPrev), folder.File(nextFile)}}[done]
				if move[0] == "" {
					continue
				}
				if err := os.Rename(move[0], move[1]); err != nil {
					t.Fatal(err)
				}
			} else if got, err := s.Get(t.Context(), "one"); err != nil || got.ID != wantID || got.Spec.RootFS != want || got.RootFSMissing {
				t.Errorf("%d steps: %+v, %v", done, got, err)
			}
			next := &Store{State: s.State, Disks: words{}, Tool: "next"}
			got, err := next.Restore(t.Context(), "one") // finishes or undoes that, and changes places again
			if err != nil || got.Spec.RootFS != other {
				t.Errorf("%d steps, halfway %v: %+v, %v", done, halfway, got, err)
			}
			holds(t, folder.RootFS(), other)
			holds(t, folder.File(layout.RootFSPrev), want)
			holds(t, folder.File(nextFile), "")
			if list, err := next.Kept(t.Context()); err != nil || len(list) != 1 || list[0].Deleted || !list[0].Known {
				t.Errorf("%d steps: kept %+v, %v", done, list, err)
			}
		}
	}
}

// TestRestoreOfWhatIsNotKnown: of an older microagent there is a root file system without its record, and of a record that could
// not be read as well.
func TestRestoreOfWhatIsNotKnown(t *testing.T) {
	s := wordStore(t)
	_, err := s.Restore(t.Context(), "one")
	if !errors.Is(err, driver.ErrNotFound) || driver.Next(err) == "" {
		t.Errorf("nothing there: %v", err)
	}
	create(t, s, rooted("old"))
	_, err = s.Restore(t.Context(), "one")
	if !errors.Is(err, driver.ErrNotFound) {
		t.Errorf("nothing kept: %v", err)
	}
	folder := s.State.Workspace("one")
	if _, err := s.Replace(t.Context(), rooted("new"), nil); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(folder.RecordPrev()); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Restore(t.Context(), "one"); err != nil || got.Spec.RootFS != "new" {
		t.Errorf("without a record: %+v, %v", got, err)
	}
	holds(t, folder.RootFS(), "old")
	holds(t, folder.File(layout.RootFSPrev), "new")

	if err := os.WriteFile(folder.Record(), []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Retire(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	holds(t, folder.File(layout.RootFSPrev), "old")
	_, err = s.Restore(t.Context(), "one")
	if !errors.Is(err, driver.ErrRefused) || driver.Next(err) == "" {
		t.Errorf("a record that could not be read: %v", err)
	}
	if freed, names, err := s.Prune(t.Context(), false); err != nil || len(names) != 1 || freed <= 0 {
		t.Errorf("prune: %d, %v, %v", freed, names, err)
	}
	if _, err := os.Stat(folder.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its folder: %v", err)
	}
}

// TestMoveTakesWhatIsKeptAtItsName: what is kept under a name is there still when another workspace gets that name.
func TestMoveTakesWhatIsKeptAtItsName(t *testing.T) {
	s := wordStore(t)
	create(t, s, rooted("gone"))
	if err := s.Retire(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	two := rooted("two")
	two.Name = "two"
	create(t, s, two)
	if err := s.Move(t.Context(), "two", "one", ""); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Restore(t.Context(), "one"); err != nil || got.Spec.RootFS != "gone" || got.Spec.Name != "one" {
		t.Errorf("%+v, %v", got, err)
	}
	holds(t, s.State.Workspace("one").File(layout.RootFSPrev), "two")
}
