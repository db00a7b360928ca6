package volume

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"microagent/runtime/disk"
	"microagent/runtime/disk/ext4/super"
	"microagent/runtime/disk/target"
	"microagent/runtime/driver"
)

// ours is a store whose volumes are ours, and not of mke2fs.
func ours(t *testing.T) *Store {
	t.Helper()
	s := store(t)
	s.Disks = disk.New(s.State, nil)
	return s
}

// debugfs runs commands that change an image.
func debugfs(t *testing.T, image string, commands ...string) string {
	t.Helper()
	cmd := exec.Command("debugfs", "-w", "-f", "-", image)
	cmd.Stdin = strings.NewReader(strings.Join(commands, "\n") + "\n")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

func fsck(t *testing.T, image string) {
	t.Helper()
	if out, err := exec.Command("e2fsck", "-fn", image).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// withFile is a volume of 16 MiB with one file.
func withFile(t *testing.T, s *Store, name, content string) driver.Volume {
	t.Helper()
	v, _, err := s.Create(t.Context(), driver.VolumeSpec{Name: name, Size: 16 << 20})
	if err != nil {
		t.Fatal(err)
	}
	put(t, v.Path, "file", content)
	return v
}

// put replaces a file in the root of an image.
func put(t *testing.T, image, name, content string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "content")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	debugfs(t, image, "rm "+name, fmt.Sprintf("write %s %s", path, name))
}

// fileOf is what a file of an image holds, without mounting it.
func fileOf(t *testing.T, image, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "content")
	debugfs(t, image, fmt.Sprintf("dump %s %s", name, path))
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(data)
}

func TestClone(t *testing.T) {
	s := ours(t)
	v := withFile(t, s, "data", "hello")
	before := digest(t, v.Path)
	got, err := s.Clone(t.Context(), "data", "copy")
	if err != nil {
		t.Fatal(err)
	}
	fsck(t, got.Volume.Path)
	if c := fileOf(t, got.Volume.Path, "file"); c != "hello" || digest(t, v.Path) != before {
		t.Errorf("the copy holds %q", c)
	}
	if got.Volume.Allocated > v.Allocated+1<<20 {
		t.Errorf("holes were filled: %d of %d bytes", got.Volume.Allocated, v.Allocated)
	}
	a, b := superblockAt(t, v.Path, super.Offset), superblockAt(t, got.Volume.Path, super.Offset)
	if !got.OwnIdentity || a.UUID == b.UUID || b.Name() != "copy" || !b.ChecksumOK() {
		t.Errorf("it is %x %q, of %x", b.UUID, b.Name(), a.UUID)
	}
}

// TestCloneOfForeignFileSystems: copies of the superblock follow the first one, and an identity that checksums are made of
// is kept.
func TestCloneOfForeignFileSystems(t *testing.T) {
	s := ours(t)
	for features, own := range map[string]bool{
		"metadata_csum,metadata_csum_seed": true, "metadata_csum,^metadata_csum_seed": false, "^metadata_csum,^uninit_bg": true, "^metadata_csum,uninit_bg": false,
	} {
		image := s.State.VolumeImage("data")
		if err := s.Delete(t.Context(), "data"); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024", "-O", features, "-L", "data", image, "300M").CombinedOutput(); err != nil {
			t.Fatalf("%s: %s", features, out)
		}
		if err := s.Adopt(t.Context(), "data", ""); err != nil {
			t.Fatal(err)
		}
		put(t, image, "file", features)
		got, err := s.Clone(t.Context(), "data", "copy")
		if err != nil {
			t.Fatal(err)
		}
		fsck(t, got.Volume.Path)
		old, now := superblockAt(t, image, super.Offset), superblockAt(t, got.Volume.Path, super.Offset)
		spare := superblockAt(t, got.Volume.Path, 8193<<10)
		if got.OwnIdentity != own || (old.UUID != now.UUID) != own || spare.UUID != now.UUID || spare.Name() != now.Name() {
			t.Errorf("%s: own %v; %x became %x, and %x in the copy", features, got.OwnIdentity, old.UUID, now.UUID, spare.UUID)
		}
		if c := fileOf(t, got.Volume.Path, "file"); c != features {
			t.Errorf("%s: it holds %q", features, c)
		}
		if err := s.Delete(t.Context(), "copy"); err != nil {
			t.Fatal(err)
		}
	}
}

func superblockAt(t *testing.T, image string, at int64) super.Superblock {
	t.Helper()
	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [super.Size]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	sb, err := super.Parse(b[:])
	if err != nil {
		t.Fatal(err)
	}
	return sb
}

func digest(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(data))
}

// TestMakingIsWholeAtEveryStep cuts the making of a copy short behind each of its steps: there is the whole volume or none,
// and the next command makes it, or finds it.
func TestMakingIsWholeAtEveryStep(t *testing.T) {
	steps := -1
	for done := 0; steps < 0 || done <= steps; done++ {
		s := ours(t)
		v := withFile(t, s, "data", "hello")
		from, err := os.Open(v.Path)
		if err != nil {
			t.Fatal(err)
		}
		r := s.newRecord("copy", "", 0)
		all, end := s.makeSteps(&r, func(d *target.FileDraft) error { return target.Copy(t.Context(), d, from) })
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
		if v, err := next.Get(t.Context(), "copy"); there != (err == nil) || there && (v.RecordDigest == "" || v.Changed != "" || v.ImageMissing) {
			t.Errorf("%d steps: %+v, %v", done, v, err)
		}
		if _, _, err := next.Create(t.Context(), driver.VolumeSpec{Name: "sweeps", Size: 16 << 20}); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(s.State.VolumeRecord("copy")); there != (err == nil) {
			t.Errorf("%d steps: after the sweep the record: %v", done, err)
		}
		_, err = next.Clone(t.Context(), "data", "copy")
		if there != errors.Is(err, driver.ErrExists) || !there && err != nil {
			t.Errorf("%d steps: the same again: %v", done, err)
		}
		if c := fileOf(t, s.State.VolumeImage("copy"), "file"); c != "hello" {
			t.Errorf("%d steps: it holds %q", done, c)
		}
	}
}

// TestCopyThatFailsLeavesNothing: a full disk and an end of the context in the middle.
func TestCopyThatFailsLeavesNothing(t *testing.T) {
	s := ours(t)
	v := withFile(t, s, "data", "hello")
	before := digest(t, v.Path)
	for want, content := range map[error]fill{
		driver.ErrNoSpace: func(d *target.FileDraft) error {
			_, err := d.Write(bytes.Repeat([]byte{1}, 5000))
			return errors.Join(err, &os.PathError{Op: "write", Path: "image", Err: unix.ENOSPC})
		},
		context.Canceled: func(*target.FileDraft) error { return context.Canceled },
	} {
		r := s.newRecord("copy", "", 0)
		if err := wrap("clone volume", "data", s.make(&r, content)); !errors.Is(err, want) {
			t.Errorf("%v", err)
		} else if want == driver.ErrNoSpace && driver.Next(err) != driver.NextNoSpace {
			t.Errorf("what to do next: %s", driver.Next(err))
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Clone(ctx, "data", "copy"); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	entries, err := os.ReadDir(s.State.Volumes())
	if err != nil || len(entries) != 2 || digest(t, v.Path) != before {
		t.Errorf("left: %v, %v", entries, err)
	}
}
