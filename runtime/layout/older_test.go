package layout

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

// world is a state directory that an older tool has left, with one record of each kind and with what is none.
func world(t *testing.T) State {
	t.Helper()
	s := State{Dir: filepath.Join(t.TempDir(), "state")}
	if err := s.Prepare("1.0"); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		s.VolumeRecord("p.a"), s.VolumeHolder("p.a"), s.VolumeImage("p.a"), s.SnapshotRecord("p.a", "tag"), s.SnapshotImage("p.a", "tag"),
		s.BundleRecord("p.b"), s.ProjectRecord("p"), s.ProjectEvents("p"), s.Workspace("p.w").Record(), s.Workspace("p.w").RecordPrev(), s.Workspace("p.w").Run(),
	} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte("of 1.0"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// kept are the files that were kept of a tool.
func kept(t *testing.T, s State, tool string) (list []string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(s.olderOf(tool)), ".", func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && !d.IsDir() {
			list = append(list, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

var ofWorld = []string{
	"bundles/p.b.json", "projects/p.json", "snapshots/p.a/tag.json", "volumes/p.a.json", "workspaces/p.w/record.json", "workspaces/p.w/record.prev",
}

// TestAnOlderToolsRecordsAreKept before the first write of another, once, and whoever comes first; what changes then does not change
// what was kept.
func TestAnOlderToolsRecordsAreKept(t *testing.T) {
	s := world(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if err := s.Prepare("1.1"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for range 2 { // and not again when it has written
		if got := kept(t, s, "1.0"); !slices.Equal(got, ofWorld) {
			t.Fatalf("kept: %v", got)
		}
		if err := WriteJSON(s.VolumeRecord("p.a"), "of 1.1"); err != nil {
			t.Fatal(err)
		}
		if err := s.Prepare("1.1"); err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(filepath.Join(s.olderOf("1.0"), "volumes/p.a.json")); err != nil || string(text) != "of 1.0" {
			t.Errorf("what was kept is %q, %v", text, err)
		}
	}
	if info, err := os.Stat(s.olderOf("1.0")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}

	// back, and on again: one copy of each
	for _, tool := range []string{"1.0", "1.1"} {
		if err := s.Prepare(tool); err != nil {
			t.Fatal(err)
		}
	}
	tools, bytes, err := s.PruneOlder(true)
	if err != nil || !slices.Equal(tools, []string{"1.0", "1.1"}) || bytes != 0 { // all are records still
		t.Errorf("prune: %v, %d, %v", tools, bytes, err)
	}
	if err := WriteJSON(s.VolumeRecord("p.a"), "of 1.1, again"); err != nil {
		t.Fatal(err)
	}
	if _, bytes, err = s.PruneOlder(false); err != nil || bytes == 0 && Allocated(stat(t, s.VolumeRecord("p.a"))) > 0 {
		t.Errorf("prune: %d, %v", bytes, err)
	}
	if tools, _, err = s.PruneOlder(true); err != nil || len(tools) > 0 {
		t.Errorf("left: %v, %v", tools, err)
	}
}

func stat(t *testing.T, path string) fs.FileInfo {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// TestAnUpgradeThatWasKilled leaves a draft and the older tool's name: the next command does it all.
func TestAnUpgradeThatWasKilled(t *testing.T) {
	s := world(t)
	stray := filepath.Join(s.Older(), DraftPrefix+"records", "volumes", "stray.json")
	for _, path := range []string{stray, filepath.Join(s.olderOf("1.0"), "volumes", "of-before.json")} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Prepare("1.1"); err != nil {
		t.Fatal(err)
	}
	if got := kept(t, s, "1.0"); !slices.Equal(got, ofWorld) {
		t.Errorf("kept: %v", got)
	}
	if list, err := os.ReadDir(s.Older()); err != nil || len(list) != 1 {
		t.Errorf("left: %v, %v", list, err)
	}
}

// TestNothingIsKeptOfNothing, and a tool's name leads nowhere else.
func TestNothingIsKeptOfNothing(t *testing.T) {
	s := State{Dir: t.TempDir()}
	for _, tool := range []string{"1.0", "../../1.1", "1.2"} {
		if err := s.Prepare(tool); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(s.Older()); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if dir := filepath.Dir(s.olderOf("../../1.1")); dir != s.Older() {
		t.Error(dir)
	}
}
