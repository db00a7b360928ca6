package volume

import (
	"errors"
	"os"
	"testing"

	"microagent/runtime/disk/ext4/super"
	"microagent/runtime/driver"
)

// TestOnlyAPristineImageIsTakenOver marks images without a record as a mount, a copy and a copy that was cut short do.
func TestOnlyAPristineImageIsTakenOver(t *testing.T) {
	for _, c := range []struct {
		what  string
		field int64
		value byte
		taken bool
	}{
		{"nothing", 0x104, 0, true},
		{"mounted", 0x34, 1, false},
		{"mounted at a time", 0x2C, 1, false},
		{"written to", 0x30, 1, false},
		{"with a journal to write back", super.IncompatOffset, byte(super.NeedsRecovery | super.Extents | super.Filetype), false},
		{"no ext4", super.MagicOffset, 0, false},
	} {
		s := store(t)
		spec := driver.VolumeSpec{Name: "data", Size: 16 << 20}
		if _, _, err := s.Create(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(s.State.VolumeRecord("data")); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(s.State.VolumeImage("data"), os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte{c.value}, super.Offset+c.field); err != nil {
			t.Fatal(err)
		}
		f.Close()
		list, err := s.List(t.Context())
		if err != nil || len(list) != 1 || list[0].Unborn != c.taken {
			t.Errorf("%s: %+v, %v", c.what, list, err)
		}
		_, _, err = s.Create(t.Context(), spec)
		if c.taken && err != nil || !c.taken && !errors.Is(err, driver.ErrExists) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}
