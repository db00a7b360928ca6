package logs

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestWatcherHearsNoDisks: what a guest writes to its disks, in the same folder as its log, is told to nobody.
func TestWatcherHearsNoDisks(t *testing.T) {
	dir := t.TempDir()
	w, err := newWatcher()
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	create := func(name string) *os.File {
		t.Helper()
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	disk, log := create("disk"), create("log")
	if err := w.folder(dir); err != nil {
		t.Fatal(err)
	}
	if err := w.grows(log.Name()); err != nil {
		t.Fatal(err)
	}
	put := func(f *os.File) {
		t.Helper()
		if _, err := f.WriteString("x"); err != nil {
			t.Fatal(err)
		}
	}
	next := func(want ...string) {
		t.Helper()
		for len(want) > 0 {
			got := <-w.changes
			if got.err != nil || got.lost {
				t.Fatalf("%+v", got)
			}
			for _, path := range got.paths {
				i := slices.Index(want, filepath.Base(path))
				if i < 0 {
					t.Fatalf("told of %s, want %q", path, want)
				}
				want = slices.Delete(want, i, i+1)
			}
		}
	}
	for range 1000 {
		put(disk)
	}
	put(log)
	next("log")
	create("new")
	next("new")
	if err := os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "run.json")); err != nil {
		t.Fatal(err)
	}
	next("run.json")
	put(disk)
	put(log)
	next("log")
	if err := w.grows(filepath.Join(dir, "none")); !os.IsNotExist(err) {
		t.Error(err)
	}
}

// TestWatcherEnds also while nobody takes what it has.
func TestWatcherEnds(t *testing.T) {
	w, err := newWatcher()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := w.folder(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.close()
}
