package volume

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"microagent/runtime/disk"
	"microagent/runtime/driver"
	"microagent/runtime/drivertest"
	"microagent/runtime/layout"
	"microagent/runtime/lease"
)

// mkfs makes file systems with e2fsprogs, as an independent maker of what driver.Disks gives.
type mkfs struct{}

func (mkfs) Empty(ctx context.Context, spec driver.EmptySpec, path string) error {
	d, err := layout.NewDraft(path, 0o600)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Truncate(spec.Size); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", "-L", spec.Label, "/proc/self/fd/3")
	cmd.ExtraFiles = []*os.File{d.File}
	cmd.Env = append(os.Environ(), "E2FSPROGS_FAKE_TIME=1700000000") // made and written at one time, as ours are
	if out, err := cmd.CombinedOutput(); err != nil {
		return errors.New(string(out))
	}
	return d.Publish()
}

func store(t *testing.T) *Store {
	t.Helper()
	if _, err := exec.LookPath("mke2fs"); err != nil {
		t.Skip("mke2fs of e2fsprogs is not installed")
	}
	s := layout.State{Dir: t.TempDir()}
	if err := s.Prepare("test"); err != nil {
		t.Fatal(err)
	}
	return &Store{State: s, Disks: mkfs{}, Tool: "test"}
}

func attach(t *testing.T, s *Store, name, workspace string) func() {
	t.Helper()
	l, err := lease.Acquire(s.State.VolumeImage(name), lease.Exclusive)
	if err != nil {
		t.Fatal(err)
	}
	self, err := lease.Self()
	if err != nil {
		t.Fatal(err)
	}
	h := driver.Holder{Workspace: workspace, PID: self.PID, BootID: self.BootID, Start: self.Start}
	if err := WriteHolder(s.State, name, h); err != nil {
		t.Fatal(err)
	}
	return func() { l.Close() }
}

func TestStore(t *testing.T) {
	under := func(s *Store) drivertest.VolumesUnder {
		return drivertest.VolumesUnder{Volumes: s, Attach: func(t *testing.T, volume, workspace string) func() {
			return attach(t, s, volume, workspace)
		}}
	}
	drivertest.Volumes(t, func(t *testing.T) drivertest.VolumesUnder { return under(store(t)) })
	drivertest.VolumeData(t, func(t *testing.T) drivertest.VolumeDataUnder {
		s := store(t)
		s.Disks = disk.New(s.State, nil)
		return drivertest.VolumeDataUnder{VolumesUnder: under(s), VolumeData: s}
	})
}

func create(t *testing.T, s *Store, name string) driver.Volume {
	t.Helper()
	v, _, err := s.Create(t.Context(), driver.VolumeSpec{Name: name, Size: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestOrphanIsReportedAndKept(t *testing.T) {
	s := store(t)
	v := create(t, s, "data")
	if err := os.Remove(s.State.VolumeRecord("data")); err != nil {
		t.Fatal(err)
	}
	list, err := s.List(t.Context())
	if err != nil || len(list) != 1 || list[0].RecordDigest != "" || list[0].Name != "data" {
		t.Fatalf("List: %+v, %v", list, err)
	}
	// A mount count above zero: somebody used it, so that Create must not take it over as its own leftover.
	f, err := os.OpenFile(v.Path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{1}, 1024+0x34); err != nil {
		t.Fatal(err)
	}
	f.Close()
	_, _, err = s.Create(t.Context(), driver.VolumeSpec{Name: "data", Size: 1 << 20})
	if !errors.Is(err, driver.ErrExists) || driver.Next(err) == "" {
		t.Errorf("Create over an orphan: %v", err)
	}
	before, err := os.ReadFile(v.Path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Adopt(t.Context(), "data", ""); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(v.Path)
	if err != nil || string(before) != string(after) {
		t.Errorf("adopting changed the image (%v)", err)
	}
	if got, err := s.Get(t.Context(), "data"); err != nil || got.RecordDigest == "" || got.Size != 1<<20 || got.Protected {
		t.Errorf("after adopting: %+v, %v", got, err)
	}
	if err := os.WriteFile(s.State.VolumeRecord("data"), []byte(`{"format": 1, "protec`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Adopt(t.Context(), "data", ""); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get(t.Context(), "data"); err != nil || !got.Protected {
		t.Errorf("after adopting one whose record may have protected it: %+v, %v", got, err)
	}
}

func TestCreateConvergesAfterACrash(t *testing.T) {
	s := store(t)
	create(t, s, "data")
	if err := os.Remove(s.State.VolumeRecord("data")); err != nil {
		t.Fatal(err)
	}
	v, created, err := s.Create(t.Context(), driver.VolumeSpec{Name: "data", Size: 1 << 20})
	if err != nil || !created || v.RecordDigest == "" {
		t.Errorf("image without record, never mounted: %+v %v %v", v, created, err)
	}
}

func TestInterruptedDeleteIsFinished(t *testing.T) {
	for name, upTo := range map[string][]func(s *Store) string{
		"record says deleting": {},
		"image gone":           {func(s *Store) string { return s.State.VolumeImage("data") }},
		"holder gone": {
			func(s *Store) string { return s.State.VolumeImage("data") },
			func(s *Store) string { return s.State.VolumeHolder("data") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := store(t)
			create(t, s, "data")
			attach(t, s, "data", "db")()
			r, err := s.load("data")
			if err != nil {
				t.Fatal(err)
			}
			r.Deleting = true
			if err := s.save(r); err != nil {
				t.Fatal(err)
			}
			for _, path := range upTo {
				if err := os.Remove(path(s)); err != nil {
					t.Fatal(err)
				}
			}
			if list, err := s.List(t.Context()); err != nil || len(list) != 0 {
				t.Errorf("a volume being deleted is listed: %+v, %v", list, err)
			}
			create(t, next(s), "other")
			left, err := filepath.Glob(filepath.Join(s.State.Volumes(), "data*"))
			if err != nil || len(left) != 0 {
				t.Errorf("left after the next command that writes: %v, %v", left, err)
			}
		})
	}
}

func TestTornRecordHidesOnlyItsOwnVolume(t *testing.T) {
	s := store(t)
	create(t, s, "whole")
	create(t, s, "torn")
	if err := os.Truncate(s.State.VolumeRecord("torn"), 0); err != nil {
		t.Fatal(err)
	}
	list, err := s.List(t.Context())
	if len(list) != 1 || list[0].Name != "whole" {
		t.Errorf("listed: %+v", list)
	}
	if !errors.Is(err, driver.ErrCorrupt) || !strings.Contains(err.Error(), s.State.VolumeRecord("torn")) {
		t.Errorf("the error must name the file: %v", err)
	}
}

func TestCreateThatWasKilledIsSeen(t *testing.T) {
	s := store(t)
	v := create(t, s, "data")
	if err := os.Remove(s.State.VolumeRecord("data")); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get(t.Context(), "data"); err != nil || !got.Unborn {
		t.Errorf("never mounted: %+v, %v", got, err)
	}
	f, err := os.OpenFile(v.Path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{1}, 1024+0x34); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get(t.Context(), "data"); err != nil || got.Unborn {
		t.Errorf("mounted once: %+v, %v", got, err)
	}
}

func TestNamesThatLookLikeOtherFiles(t *testing.T) {
	s := store(t)
	for _, name := range []string{"a", "a.holder", "a.ext4", "ext4.holder", "holder"} {
		create(t, s, name)
		attach(t, s, name, "db")()
	}
	if err := s.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	list, err := s.List(t.Context())
	if err != nil || len(list) != 4 {
		t.Fatalf("List: %+v, %v", list, err)
	}
	for _, v := range list {
		if v.Holder == nil || v.RecordDigest == "" || v.ImageMissing {
			t.Errorf("%+v", v)
		}
	}
}

func TestListOnAReadOnlyOrAbsentStateDirectory(t *testing.T) {
	s := &Store{State: layout.State{Dir: filepath.Join(t.TempDir(), "absent")}}
	if list, err := s.List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("absent: %v, %v", list, err)
	}
	if _, err := os.Stat(s.State.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("List made the state directory: %v", err)
	}
}

func TestTornRecordKeepsTheImage(t *testing.T) {
	s := store(t)
	v := create(t, s, "data")
	if err := os.WriteFile(s.State.VolumeRecord("data"), []byte(`{"format":1,"kind":"vol`), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"Get":    func() error { _, err := s.Get(t.Context(), "data"); return err }(),
		"Delete": s.Delete(t.Context(), "data"),
	} {
		if !errors.Is(err, driver.ErrCorrupt) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := os.Stat(v.Path); err != nil {
		t.Error(err)
	}
}

func TestGrowOfAnAttachedVolumeAsksItsHolder(t *testing.T) {
	s := store(t)
	create(t, s, "data")
	release := attach(t, s, "data", "db")
	defer release()
	_, err := s.Grow(t.Context(), "data", 2<<20, driver.ByCommand)
	if !errors.Is(err, driver.ErrBusy) {
		t.Errorf("without a way to the holder: %v", err)
	}
	s.GrowLive = func(_ context.Context, workspace, volume string, size int64) error {
		if workspace != "db" || volume != "data" {
			t.Errorf("asked workspace %s to grow %s", workspace, volume)
		}
		return os.Truncate(s.State.VolumeImage(volume), size)
	}
	v, err := s.Grow(t.Context(), "data", 2<<20, driver.ByCommand)
	if err != nil || v.Size != 2<<20 {
		t.Errorf("%+v, %v", v, err)
	}
}

// next is the store as the next command has it.
func next(s *Store) *Store { return &Store{State: s.State, Disks: s.Disks, Tool: s.Tool} }
