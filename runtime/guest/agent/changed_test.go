package agent

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestWatcherSeesAPathComeToBe makes a path from the top, moves it away and back, and changes what is there: each is
// told of, before the look that comes anyway.
func TestWatcherSeesAPathComeToBe(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "a/b/file")
	w, err := newWatcher(path)
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	told := func(what string, do func() error) {
		t.Helper()
		w.place()
		select { // of the step before
		case <-w.stirred:
		default:
		}
		if err := do(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-w.stirred:
		case <-time.After(10 * time.Second):
			t.Fatalf("nothing was told when %s", what)
		}
	}
	told("a directory came", func() error { return os.Mkdir(filepath.Join(root, "a"), 0o700) })
	told("a deeper one came", func() error { return os.Mkdir(filepath.Join(root, "a/b"), 0o700) })
	told("the file came", func() error { return os.WriteFile(path, nil, 0o600) })
	told("it was written", func() error { return os.WriteFile(path, []byte("x"), 0o600) })
	told("it was touched", func() error { return os.Chtimes(path, time.Now(), time.Now()) })
	told("it went", func() error { return os.Remove(path) })
	told("its directory went", func() error { return os.RemoveAll(filepath.Join(root, "a")) })
	told("it came again", func() error { return os.MkdirAll(filepath.Dir(path), 0o700) })
	if w.place(); w.at != filepath.Dir(path) {
		t.Errorf("%s is watched for %s", w.at, path)
	}
}

func TestChangedSince(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	before := now()
	if changedSince(path, before) {
		t.Error("a file that is not there was changed")
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if !changedSince(path, before) {
		t.Error("a new file was not changed")
	}
	later := now()
	later.wall, later.steady = later.wall+time.Hour, later.steady+time.Hour
	if changedSince(path, later) {
		t.Error("a file of an earlier start counts")
	}
}
