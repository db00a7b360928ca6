package volume

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

// TestRestoreKeepsUnderATag: whatever tag is restored, and how often, what was there is a snapshot that is listed.
func TestRestoreKeepsUnderATag(t *testing.T) {
	s := ours(t)
	withFile(t, s, "data", "hello")
	long := strings.Repeat("a", tagLen)
	if _, err := s.Snapshot(t.Context(), "data", long, driver.MadeByHand); err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 3; n++ {
		r, err := s.Restore(t.Context(), "data", long)
		if err != nil {
			t.Fatal(err)
		}
		if list, err := s.Snapshots(t.Context(), "data"); err != nil || len(list) != n+1 {
			t.Errorf("after %d restores there are %d snapshots: %+v, %v", n, len(list), list, err)
		}
		if err := checkTag("test", "data", r.Kept.Tag); err != nil {
			t.Error(err)
		}
	}
}

// TestMoveIntoAFolderOfSnapshots: the folder of the new name is there, with what a killed command left and with a snapshot that
// was made before the move could go on.
func TestMoveIntoAFolderOfSnapshots(t *testing.T) {
	s := ours(t)
	withFile(t, s, "old", "hello")
	for _, tag := range []string{"one", "two"} {
		if _, err := s.Snapshot(t.Context(), "old", tag, driver.MadeByHand); err != nil {
			t.Fatal(err)
		}
	}
	folder := s.State.SnapshotsOf("new")
	if err := errors.Join(os.MkdirAll(folder, 0o700), os.WriteFile(filepath.Join(folder, ".one.json.new"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	r, err := s.load("old")
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range s.moveSteps(r, "new", "")[:3] { // all but the snapshots
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(s.State.SnapshotImage("new", "two"), []byte("another"), 0o600); err != nil {
		t.Fatal(err)
	}
	next := &Store{State: s.State, Disks: s.Disks, Tool: "next"}
	if err := next.Protect(t.Context(), "new", true); err != nil {
		t.Fatal(err)
	}
	list, err := s.Snapshots(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, one := range list {
		names = append(names, one.Name())
	}
	if got := strings.Join(names, " "); got != "new:one new:two old:two" {
		t.Errorf("snapshots: %s", got)
	}
	if _, err := os.Stat(s.State.VolumeRecord("old")); !os.IsNotExist(err) {
		t.Errorf("the old record: %v", err)
	}
	if c := fileOf(t, s.State.SnapshotImage("new", "one"), "file"); c != "hello" {
		t.Errorf("it holds %q", c)
	}
}

// TestOthersGoOn: a volume whose move can't be finished is in nobody's way but its own.
func TestOthersGoOn(t *testing.T) {
	s := ours(t)
	withFile(t, s, "old", "hello")
	withFile(t, s, "other", "hello")
	if _, err := s.Snapshot(t.Context(), "old", "one", driver.MadeByHand); err != nil {
		t.Fatal(err)
	}
	r, err := s.load("old")
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range s.moveSteps(r, "new", "")[:3] {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(s.State.SnapshotsOf("new"), nil, 0o600); err != nil { // no folder: no snapshot can go there
		t.Fatal(err)
	}
	next := func() *Store { return &Store{State: s.State, Disks: s.Disks, Tool: "next"} }
	if err := next().Delete(t.Context(), "other"); err != nil {
		t.Error(err)
	}
	if err := next().Protect(t.Context(), "new", true); err == nil {
		t.Error("a move that could not be finished is told of to nobody")
	}
}

// TestDeleteOnAFullDisk: what can't be written about an interrupted snapshot or move keeps nobody from making room.
func TestDeleteOnAFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root for a small file system")
	}
	s := ours(t)
	if err := unix.Mount("tmpfs", s.State.Dir, "tmpfs", 0, "size=32m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(s.State.Dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	if err := s.State.Prepare("test"); err != nil {
		t.Fatal(err)
	}
	withFile(t, s, "data", "hello")
	r, err := s.load("data")
	if err != nil {
		t.Fatal(err)
	}
	going := s.moveSteps(r, "gone", "")[0]
	if _, err := s.Snapshot(t.Context(), "data", "one", driver.MadeByHand); err != nil {
		t.Fatal(err)
	}
	made := s.newSnapshot(r, "one", driver.MadeByHand)
	made.Making = true // its record is as if the last step had not been
	if err := layout.WriteJSON(s.State.SnapshotRecord("data", "one"), made); err != nil {
		t.Fatal(err)
	}
	if err := going(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.State.Dir, "full"), make([]byte, 64<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("the file system is not full: %v", err)
	}
	next := &Store{State: s.State, Disks: s.Disks, Tool: "next"}
	if list, err := next.Snapshots(t.Context(), "data"); err != nil || len(list) != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	if err := next.Delete(t.Context(), "data"); err != nil {
		t.Error(err)
	}
	if err := next.DeleteSnapshot(t.Context(), "data", "one"); err != nil {
		t.Error(err)
	}
}
