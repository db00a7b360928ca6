package disk

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"microagent/runtime/disk/target"
	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

func TestPruneLeavesWhatIsHeld(t *testing.T) {
	d := newDisks(t, tarLayers{tarOf(t, reg("a", "1"))})
	image, err := d.RootFS(t.Context(), driver.RootFSSpec{ImageDigest: "sha256:1", Size: 64 << 20}, nil)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(image.Path)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH); err != nil {
		t.Fatal(err)
	}
	for _, dry := range []bool{true, false} {
		if _, removed, err := d.Prune(t.Context(), nil, dry); err != nil || len(removed) != 0 {
			t.Errorf("removed %v, %v", removed, err)
		}
	}
	f.Close()
	draft := filepath.Join(d.state.DiskCache(), layout.DraftPrefix+"x")
	write(t, draft, "left over", 0o600)
	write(t, d.state.DiskCache()+"/stranger", "", 0o600)
	freed, removed, err := d.Prune(t.Context(), nil, false)
	if err != nil || len(removed) != 1 || removed[0] != image.Key || freed < image.Allocated {
		t.Errorf("freed %d, removed %v, %v", freed, removed, err)
	}
	if _, err := os.Stat(draft); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the draft stays: %v", err)
	}
	if _, err := os.Stat(d.state.DiskCache() + "/stranger"); err != nil {
		t.Errorf("what is not ours went: %v", err)
	}
	if err := d.Place(t.Context(), image.Key, d.state.VolumeImage("x")); !errors.Is(err, driver.ErrNotFound) {
		t.Errorf("placed what is gone: %v", err)
	}
	if _, err := d.FindRootFS(t.Context(), driver.RootFSSpec{ImageDigest: "sha256:1", Size: 64 << 20}); !errors.Is(err, driver.ErrNotFound) {
		t.Errorf("found what is gone: %v", err)
	}
	if _, _, err := New(layout.State{Dir: t.TempDir() + "/none"}, nil).Prune(t.Context(), nil, false); err != nil {
		t.Errorf("without a state directory: %v", err)
	}
}

func TestKeysThatAreNone(t *testing.T) {
	d := newDisks(t, nil)
	for _, key := range []string{"", "../x", "bundle-v1-", "rootfs-v1-zz", "bundle-v1-../../../../../../../../../../../../../../../../../../../../../../../x"} {
		if err := d.Place(t.Context(), key, d.state.VolumeImage("x")); !errors.Is(err, driver.ErrInvalid) {
			t.Errorf("%q: %v", key, err)
		}
		if _, err := d.FindBundle(t.Context(), key); !errors.Is(err, driver.ErrInvalid) {
			t.Errorf("%q: %v", key, err)
		}
	}
}

func TestManyMakeTheSame(t *testing.T) {
	d := newDisks(t, tarLayers{tarOf(t, reg("a", string(make([]byte, 1<<20))), reg("b", "x"))})
	spec := driver.RootFSSpec{ImageDigest: "sha256:1", Size: 64 << 20}
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			if _, err := d.RootFS(t.Context(), spec, nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if entries, err := os.ReadDir(d.state.DiskCache()); err != nil || len(entries) != 1 {
		t.Errorf("%v %v", entries, err)
	}
	image, err := d.FindRootFS(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	path := d.state.VolumeImage("race")
	var placed, refused int
	var mu sync.Mutex
	for range 6 {
		wg.Go(func() {
			err := d.Place(t.Context(), image.Key, path)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				placed++
			case errors.Is(err, driver.ErrExists):
				refused++
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if placed != 1 || refused != 5 {
		t.Errorf("%d placed, %d refused", placed, refused)
	}
}

func TestCloneKeepsHoles(t *testing.T) {
	dir := t.TempDir()
	from, err := os.Create(dir + "/from")
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	for _, at := range []int64{0, 5 << 20, 40<<20 + 123} {
		if _, err := from.WriteAt(bytes.Repeat([]byte("data"), 5000), at); err != nil {
			t.Fatal(err)
		}
	}
	if err := from.Truncate(80 << 20); err != nil {
		t.Fatal(err)
	}
	to, err := target.File(dir + "/to").Nameless(0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	if err := errors.Join(target.Copy(t.Context(), to, from), to.Publish()); err != nil {
		t.Fatal(err)
	}
	a, err1 := os.ReadFile(dir + "/from")
	b, err2 := os.ReadFile(dir + "/to")
	if err := errors.Join(err1, err2); err != nil || !bytes.Equal(a, b) {
		t.Errorf("copies differ: %v", err)
	}
	st, err := to.Stat()
	if err != nil || layout.Allocated(st) > 1<<20 {
		t.Errorf("%d bytes allocated, %v", layout.Allocated(st), err)
	}
}

func TestCancelledLeavesNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d := newDisks(t, tarLayers{tarOf(t, reg("a", "1"))})
	if _, err := d.RootFS(ctx, driver.RootFSSpec{ImageDigest: "sha256:1", Size: 64 << 20}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	dir := t.TempDir()
	tree(t, dir)
	if _, _, err := d.Bundle(ctx, from(dir), "", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	nothingLeft(t, d)
}

func TestCorruptLayerLeavesNothing(t *testing.T) {
	whole := tarOf(t, reg("a", "1"), reg("big", string(bytes.Repeat([]byte("x"), 3<<20))))
	d := newDisks(t, tarLayers{whole, whole[:2<<20]})
	_, err := d.RootFS(t.Context(), driver.RootFSSpec{ImageDigest: "sha256:1", Size: 64 << 20}, nil)
	if !errors.Is(err, driver.ErrCorrupt) {
		t.Errorf("got %v", err)
	}
	nothingLeft(t, d)
}

func TestContentThatDoesNotFit(t *testing.T) {
	body := bytes.Repeat([]byte("x"), 30<<20)
	d := newDisks(t, tarLayers{tarOf(t, reg("big", string(body)))})
	_, err := d.RootFS(t.Context(), driver.RootFSSpec{ImageDigest: "sha256:1", Size: 32 << 20}, nil)
	if !errors.Is(err, driver.ErrNoSpace) || driver.Next(err) == "" {
		t.Errorf("got %v, next %q", err, driver.Next(err))
	}
	nothingLeft(t, d)
}
