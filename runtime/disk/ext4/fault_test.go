package ext4_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"microagent/runtime/disk/ext4/build"
	"microagent/runtime/disk/ext4/edit"
	"microagent/runtime/disk/ext4/format"
	"microagent/runtime/disk/ext4/read"
	"microagent/testscripts/lane"
)

var errPower = errors.New("the power is gone")

// faulty is a device that stops after a number of writes and syncs.
type faulty struct {
	memory
	left    int
	done    int
	pending []unsynced // writes since the last sync: a power cut loses any of them
	syncs   []int      // which of what was done were syncs
}

type unsynced struct {
	at            int64
	before, after []byte
}

func (f *faulty) step() error {
	if f.done == f.left {
		return errPower
	}
	f.done++
	return nil
}

func (f *faulty) WriteAt(p []byte, off int64) (int, error) {
	if err := f.step(); err != nil {
		return 0, err
	}
	f.pending = append(f.pending, unsynced{off, bytes.Clone(f.data[off : off+int64(len(p))]), bytes.Clone(p)})
	return f.memory.WriteAt(p, off)
}

func (f *faulty) Sync() error {
	if err := f.step(); err != nil {
		return err
	}
	f.pending = nil
	f.syncs = append(f.syncs, f.done-1)
	return nil
}

// cut is what a power cut leaves of the disk when it keeps the pending writes that kept says.
func (f *faulty) cut(kept func(i int) bool) []byte {
	data := bytes.Clone(f.data)
	for i := len(f.pending) - 1; i >= 0; i-- {
		copy(data[f.pending[i].at:], f.pending[i].before)
	}
	for i, w := range f.pending {
		if kept(i) {
			copy(data[w.at:], w.after)
		}
	}
	return data
}

// TestEditBrokenOffAnywhere stops at every write and sync, or at a sample of them. The next replay, ours and e2fsck's, finds the state before or the
// one after, and e2fsck finds nothing else.
func TestEditBrokenOffAnywhere(t *testing.T) {
	for _, c := range []struct {
		name  string
		image func(t *testing.T) string
		path  string // of the file that is written
	}{
		{"new file", func(t *testing.T) string { return small(t) }, "/d/new"},
		{"replaced file", func(t *testing.T) string { return small(t) }, "/d/old"},
		{"kernel's image", func(t *testing.T) string { return mke2fs(t, "8M", "-b", "1024", "-O", "^resize_inode") }, "/new"},
		{"dirty journal", func(t *testing.T) string {
			return crashed(t, mke2fs(t, "8M", "-b", "1024"), `mkdir $D/d; echo old > $D/d/old; sync -f $D`)
		}, "/d/old"},
		{"split leaf", func(t *testing.T) string {
			path := mke2fs(t, "8M", "-b", "1024", "-J", "size=1")
			change(t, path, func(e *edit.Editor) error { // until the next name needs a split
				for i := 0; ; i++ {
					root, err := e.Root()
					if err != nil || root.Size > 4<<10 && i%25 == 0 {
						return err
					}
					if err := write(e, fmt.Sprintf("/a-rather-long-name-%d", i), nil); err != nil {
						return err
					}
				}
			})
			return path
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			clean, err := os.ReadFile(c.image(t))
			if err != nil {
				t.Fatal(err)
			}
			data := noise(300 << 10)
			do := func(dev edit.Device) error {
				e, err := edit.Open(dev, int64(len(clean)), editTime)
				if err != nil {
					return err
				}
				if c.path == "" {
					for i := range 40 {
						if err := write(e, fmt.Sprintf("/another-rather-long-name-%d", i), []byte("x")); err != nil {
							return err
						}
					}
					err = e.Symlink(read.Inode{Number: format.RootIno}, "last", "x", attr(0))
				} else {
					err = write(e, c.path, data)
				}
				return errors.Join(err, e.Commit())
			}
			count := &faulty{memory: memory{bytes.Clone(clean)}, left: 1 << 30}
			if err := do(count); err != nil {
				t.Fatal(err)
			}
			seen := map[string]int{}
			broken := func(n int) *faulty {
				f := &faulty{memory: memory{bytes.Clone(clean)}, left: n}
				if err := do(f); n < count.done && !errors.Is(err, errPower) {
					t.Fatalf("after %d of %d: %v", n, count.done, err)
				}
				return f
			}
			for _, n := range lane.Steps(8, count.done+1) { // the process dies
				seen[judge(t, broken(n).data, c.path, data)]++
				if t.Failed() {
					t.Fatalf("after %d of %d writes", n, count.done)
				}
			}
			for _, n := range count.syncs { // the power goes, with one of the writes, or with all but one
				f := broken(n)
				for _, i := range lane.Steps(3, len(f.pending)) {
					for _, only := range []bool{true, false} {
						seen[judge(t, f.cut(func(k int) bool { return (k == i) == only }), c.path, data)]++
						if t.Failed() {
							t.Fatalf("at sync %d of %d, write %d of %d, kept: %v", n, count.done, i, len(f.pending), only)
						}
					}
				}
			}
			if seen["before"] == 0 || seen["after"] == 0 || len(seen) != 2 {
				t.Errorf("%d writes, states %v", count.done, seen)
			}
		})
	}
}

func small(t *testing.T) string {
	return buildImage(t, build.Options{Size: 8 << 20, Journal: true}, func(b *build.Builder) error {
		return errors.Join(file(b, "d/old", []byte("old")), file(b, "other", []byte("other")))
	})
}

// judge says which state an image is in after a replay.
func judge(t *testing.T, image []byte, path string, data []byte) string {
	t.Helper()
	dir := t.TempDir()
	ours, theirs := filepath.Join(dir, "ours"), filepath.Join(dir, "theirs")
	m := &memory{bytes.Clone(image)}
	if err := edit.Recover(m, int64(len(image))); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(ours, m.data, 0o600), os.WriteFile(theirs, image, 0o600)); err != nil {
		t.Fatal(err)
	}
	fsck(t, ours)
	found := state(t, m, path, data)
	tool(t, "e2fsck", "-p", "-E", "journal_only", theirs)
	fsck(t, theirs)
	replayed, err := os.ReadFile(theirs)
	if err != nil {
		t.Fatal(err)
	}
	if s := state(t, &memory{replayed}, path, data); s != found {
		t.Errorf("%s for us, %s for e2fsck", found, s)
	}
	return found
}

func state(t *testing.T, m *memory, path string, data []byte) string {
	t.Helper()
	x, err := read.Open(m, int64(len(m.data)))
	if err != nil {
		t.Fatal(err)
	}
	if path == "" {
		root, err := x.Root()
		if err != nil {
			t.Fatal(err)
		}
		list, err := x.ReadDir(root)
		if err != nil {
			t.Fatal(err)
		}
		added := 0
		for _, e := range list {
			if e.Name[:4] == "anot" || e.Name == "last" {
				added++
			}
		}
		return map[int]string{0: "before", 41: "after"}[added]
	}
	n, err := x.Resolve(path, true)
	if err != nil {
		return "before"
	}
	switch got := content(t, x, path); {
	case n.Size < 10 && bytes.HasPrefix(got, []byte("old")):
		return "before"
	case bytes.Equal(got, data):
		return "after"
	}
	return "torn"
}
