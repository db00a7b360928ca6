package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

// filesBelow lists what is in a folder, if it is there.
func filesBelow(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			names = append(names, name)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return names
}

// TestADraftIsReadOnce makes disks of a folder and of a tar in a state directory that is not there until they are wanted.
func TestADraftIsReadOnce(t *testing.T) {
	dir := t.TempDir()
	tree(t, dir)
	for _, path := range []string{dir, put(t, "x.tar", sampleTar(t))} {
		state := layout.State{Dir: filepath.Join(t.TempDir(), "of", "nobody", "yet")}
		d := New(state, nil)
		opened := 0
		src := driver.BundleSource{Files: countingFiles{opened: &opened}, Path: path}
		want, err := d.DigestBundle(t.Context(), src, nil)
		if err != nil {
			t.Fatal(err)
		}
		once := opened
		opened = 0
		got, err := d.DraftBundle(t.Context(), src, nil)
		if err != nil || got.Fingerprint.Digest != want.Fingerprint.Digest || got.Fingerprint.Stat != want.Fingerprint.Stat || opened != once {
			t.Fatalf("%s: %+v, %v; opened %d files", path, got, err, opened)
		}
		if _, err := os.Stat(filepath.Dir(filepath.Dir(state.Dir))); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a draft made a folder: %v", err)
		}
		if _, err := d.FindBundle(t.Context(), want.Fingerprint.Digest); !errors.Is(err, driver.ErrNotFound) {
			t.Errorf("a draft is found: %v", err)
		}
		if err := state.Prepare("test"); err != nil {
			t.Fatal(err)
		}
		image, got, err := d.Bundle(t.Context(), src, want.Fingerprint.Digest, nil)
		if err != nil || got.Fingerprint.Digest != want.Fingerprint.Digest || got.Entries != want.Entries || opened != once {
			t.Fatalf("%s: %+v, %v; opened %d files", path, got, err, opened)
		}
		fsck(t, image.Path)
		other, _, err := newDisks(t, nil).Bundle(t.Context(), src, want.Fingerprint.Digest, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !sameBytes(t, image.Path, other.Path) {
			t.Errorf("%s: a draft is not what a build is", path)
		}

		opened = 0 // of a disk that is there only the source is read, and once
		again := New(state, nil)
		if _, err := again.DraftBundle(t.Context(), src, nil); err != nil {
			t.Fatal(err)
		}
		have, _, err := again.Bundle(t.Context(), src, want.Fingerprint.Digest, nil)
		if err != nil || have.Path != image.Path || opened != once {
			t.Errorf("%s: %+v, %v; opened %d files", path, have, err, opened)
		}
	}
}

func sameBytes(t *testing.T, a, b string) bool {
	t.Helper()
	x, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := os.ReadFile(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(x) == string(y)
}

// TestADraftHoldsWhatWasRead changes the source before the disk is asked for.
func TestADraftHoldsWhatWasRead(t *testing.T) {
	d := newDisks(t, nil)
	dir := t.TempDir()
	tree(t, dir)
	read, err := d.DraftBundle(t.Context(), from(dir), nil)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir+"/hello.txt", "hallo\n", 0o644)
	image, got, err := d.Bundle(t.Context(), from(dir), read.Fingerprint.Digest, nil)
	if err != nil || got.Fingerprint != read.Fingerprint || image.Key != bundleKeyOf(read.Fingerprint.Digest) {
		t.Fatalf("%+v, %v", got, err)
	}
	fsck(t, image.Path)
	now, err := d.DraftBundle(t.Context(), from(dir), &got.Fingerprint)
	if err != nil || now.Fingerprint.Digest == read.Fingerprint.Digest {
		t.Errorf("the change is not seen: %v", err)
	}
	d.DropDrafts()
	if list := filesBelow(t, d.state.DiskCache()); len(list) != 1 {
		t.Errorf("a draft that nobody asked for is left: %v", list)
	}
	if _, _, err := d.Bundle(t.Context(), from(dir), now.Fingerprint.Digest, nil); err != nil {
		t.Errorf("what was dropped is not made again: %v", err)
	}
}

// TestADraftThatCannotBe has no room for one: what the source would become is told all the same.
func TestADraftThatCannotBe(t *testing.T) {
	dir := t.TempDir()
	tree(t, dir)
	d := New(layout.State{Dir: filepath.Join(t.TempDir(), "state")}, nil)
	write(t, filepath.Dir(d.state.DiskCache()), "x", 0o600)
	want, err := newDisks(t, nil).DigestBundle(t.Context(), from(dir), nil)
	if err != nil {
		t.Fatal(err)
	}
	src := from(dir)
	got, err := d.DraftBundle(t.Context(), src, nil)
	if err != nil || got.Fingerprint.Digest != want.Fingerprint.Digest {
		t.Errorf("%+v, %v", got, err)
	}
	if _, _, err := d.Bundle(t.Context(), src, got.Fingerprint.Digest, nil); err == nil {
		t.Error("a disk was made in a folder that is a file")
	}
}
