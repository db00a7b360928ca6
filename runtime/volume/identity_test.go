package volume

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"microagent/runtime/disk/ext4/super"
	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

// What happened to an image behind the record's back is told, and adopting takes it as it is.
func TestChangedImages(t *testing.T) {
	s := store(t)
	create := func(name string) string {
		if _, _, err := s.Create(t.Context(), driver.VolumeSpec{Name: name, Size: 16 << 20}); err != nil {
			t.Fatal(err)
		}
		return s.State.VolumeImage(name)
	}
	told := func(name, want string) {
		t.Helper()
		v, err := s.Get(t.Context(), name)
		if err != nil || (v.Changed == "") != (want == "") || !strings.Contains(v.Changed, want) {
			t.Errorf("%s: %q, %v; want %q", name, v.Changed, err, want)
		}
	}
	cut, formatted, zeroed, grown, old := create("cut"), create("formatted"), create("zeroed"), create("grown"), create("old")
	for _, name := range []string{"cut", "formatted", "zeroed", "grown", "old"} {
		told(name, "")
	}
	for path, size := range map[string]int64{cut: 8 << 20, grown: 32 << 20} {
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("mke2fs", "-q", "-F", "-t", "ext4", formatted).CombinedOutput(); err != nil {
		t.Fatalf("%s", out)
	}
	f, err := os.OpenFile(zeroed, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, 2048), 0); err != nil {
		t.Fatal(err)
	}
	damaged := create("damaged")
	d, err := os.OpenFile(damaged, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := d.WriteAt([]byte{99}, super.Offset+0x18); err != nil { // its block size
		t.Fatal(err)
	}
	told("damaged", "") // whoever attaches it tells
	told("cut", "8 MiB, and had 16 MiB")
	told("formatted", "another file system")
	told("zeroed", "no ext4 file system")
	told("grown", "") // a grow that was killed before it was noted, or one by hand: both sizes are told
	if v, err := s.Get(t.Context(), "grown"); err != nil || v.Recorded != 16<<20 || v.Size != 32<<20 {
		t.Errorf("grown: %+v, %v", v, err)
	}

	// A record of an older version knows no identity: nothing is told, and the next write learns it.
	var r record
	if err := layout.ReadJSON(s.State.VolumeRecord("old"), &r); err != nil || r.UUID == "" {
		t.Fatalf("%+v, %v", r, err)
	}
	r.UUID = ""
	if err := layout.WriteJSON(s.State.VolumeRecord("old"), r); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mke2fs", "-q", "-F", "-t", "ext4", old).CombinedOutput(); err != nil {
		t.Fatalf("%s", out)
	}
	told("old", "")
	if err := s.Protect(t.Context(), "old", true); err != nil {
		t.Fatal(err)
	}
	if err := layout.ReadJSON(s.State.VolumeRecord("old"), &r); err != nil || r.UUID == "" {
		t.Errorf("nothing was learned: %+v, %v", r, err)
	}

	for _, name := range []string{"cut", "formatted"} {
		if _, err := s.Grow(t.Context(), name, 64<<20, driver.ByCommand); !errors.Is(err, driver.ErrRefused) || !strings.Contains(driver.Next(err), "volume adopt "+name) {
			t.Errorf("grow %s: %v, next %q", name, err, driver.Next(err))
		}
		if err := s.Adopt(t.Context(), name, ""); err != nil {
			t.Fatal(err)
		}
		told(name, "")
	}
}
