package volume

import (
	"os"
	"testing"

	"microagent/runtime/disk/target"
	"microagent/runtime/driver"
)

// TestSnapshotIsWholeAtEveryStep cuts the making of a snapshot short behind each of its steps.
func TestSnapshotIsWholeAtEveryStep(t *testing.T) {
	steps := -1
	for done := 0; steps < 0 || done <= steps; done++ {
		s := ours(t)
		v := withFile(t, s, "data", "hello")
		r, err := s.load("data")
		if err != nil {
			t.Fatal(err)
		}
		from, err := os.Open(v.Path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(s.State.SnapshotsOf("data"), 0o700); err != nil {
			t.Fatal(err)
		}
		all, end := s.keepSteps("data", s.newSnapshot(r, "one", driver.MadeByHand), func(d *target.FileDraft) error { return target.Copy(t.Context(), d, from) })
		steps = len(all)
		for _, step := range all[:done] {
			if err := step(); err != nil {
				t.Fatal(err)
			}
		}
		from.Close()
		end()
		next := &Store{State: s.State, Disks: s.Disks, Tool: "next"}
		there := done >= 3
		look := func(when string) {
			if list, err := next.Snapshots(t.Context(), ""); err != nil || (len(list) == 1) != there || there && (list[0].ID == "" || list[0].Of != v.ID) {
				t.Errorf("%d steps, %s: %+v, %v", done, when, list, err)
			}
		}
		look("before anything")
		if err := next.Protect(t.Context(), "data", true); err != nil {
			t.Fatal(err)
		}
		look("after the sweep")
		if _, err := os.Stat(s.State.SnapshotsOf("data")); there != (err == nil) {
			t.Errorf("%d steps: its folder: %v", done, err)
		}
		if _, err := os.Stat(s.State.SnapshotRecord("data", "one")); there != (err == nil) {
			t.Errorf("%d steps: its record: %v", done, err)
		}
		if !there {
			if _, err := next.Snapshot(t.Context(), "data", "one", driver.MadeByHand); err != nil {
				t.Errorf("%d steps: the same again: %v", done, err)
			}
		}
		if c := fileOf(t, s.State.SnapshotImage("data", "one"), "file"); c != "hello" {
			t.Errorf("%d steps: it holds %q", done, c)
		}
	}
}

// TestRestoreIsWholeAtEveryStep cuts a restore short behind each of its steps: the volume has its old content, or the
// snapshot's while the old one is kept; nothing that is written to the volume afterwards shows in what was kept.
func TestRestoreIsWholeAtEveryStep(t *testing.T) {
	steps := -1
	for done := 0; steps < 0 || done <= steps; done++ {
		s := ours(t)
		v := withFile(t, s, "data", "old")
		if _, err := s.Snapshot(t.Context(), "data", "one", driver.MadeByHand); err != nil {
			t.Fatal(err)
		}
		put(t, v.Path, "file", "new")
		r, err := s.load("data")
		if err != nil {
			t.Fatal(err)
		}
		from, _, err := s.snapshotImage("test", "data", "one")
		if err != nil {
			t.Fatal(err)
		}
		draft, err := target.File(v.Path).Nameless(0o600)
		if err != nil {
			t.Fatal(err)
		}
		if err := content(t.Context(), draft, from, v.Size); err != nil {
			t.Fatal(err)
		}
		all := s.restoreSteps(r, s.newSnapshot(r, "before-one", driver.MadeByRestore), draft)
		steps = len(all)
		for _, step := range all[:done] {
			if err := step(); err != nil {
				t.Fatal(err)
			}
		}
		from.Close()
		draft.Close()
		next := &Store{State: s.State, Disks: s.Disks, Tool: "next"}
		replaced := done >= 4
		want := map[bool]string{true: "old", false: "new"}[replaced]
		look := func(when string) {
			t.Helper()
			list, err := next.Snapshots(t.Context(), "data")
			if err != nil || len(list) != map[bool]int{true: 2, false: 1}[replaced] {
				t.Errorf("%d steps, %s: %+v, %v", done, when, list, err)
			}
			if v, err := next.Get(t.Context(), "data"); err != nil || v.Changed != "" || v.ImageMissing {
				t.Errorf("%d steps, %s: %+v, %v", done, when, v, err)
			}
			if c := fileOf(t, v.Path, "file"); c != want {
				t.Errorf("%d steps, %s: it holds %q", done, when, c)
			}
		}
		look("before anything")
		if err := next.Protect(t.Context(), "data", true); err != nil {
			t.Fatal(err)
		}
		look("after the sweep")
		want = "written"
		put(t, v.Path, "file", want)
		look("written to")
		if replaced {
			if c := fileOf(t, s.State.SnapshotImage("data", "before-one"), "file"); c != "new" {
				t.Errorf("%d steps: what was kept holds %q", done, c)
			}
		}
		if c := fileOf(t, s.State.SnapshotImage("data", "one"), "file"); c != "old" {
			t.Errorf("%d steps: the snapshot holds %q", done, c)
		}
		back, err := next.Restore(t.Context(), "data", "one")
		if err != nil || fileOf(t, v.Path, "file") != "old" {
			t.Errorf("%d steps: the same again: %+v, %v", done, back, err)
		}
		fsck(t, v.Path)
	}
}

// TestSnapshotsFollowAMove, and are in the way of another volume's.
func TestSnapshotsFollowAMove(t *testing.T) {
	s := ours(t)
	withFile(t, s, "old", "hello")
	if _, err := s.Snapshot(t.Context(), "old", "one", driver.MadeByHand); err != nil {
		t.Fatal(err)
	}
	if err := s.Move(t.Context(), "old", "new", ""); err != nil {
		t.Fatal(err)
	}
	list, err := s.Snapshots(t.Context(), "")
	if err != nil || len(list) != 1 || list[0].Name() != "new:one" {
		t.Errorf("%+v, %v", list, err)
	}
	if err := s.Delete(t.Context(), "new"); err != nil {
		t.Fatal(err)
	}
	withFile(t, s, "old", "hello")
	if err := s.Move(t.Context(), "old", "new", ""); driver.Next(err) != "look whether they are needed: microagent volume snapshots" {
		t.Errorf("%v", err)
	}
}
