package drivertest

import (
	"testing"

	"microagent/runtime/driver"
)

// VolumeDataUnder is an implementation of driver.VolumeData with the volumes that it copies.
type VolumeDataUnder struct {
	VolumesUnder
	driver.VolumeData
}

// VolumeData checks an implementation of driver.VolumeData. open gives an empty one.
func VolumeData(t *testing.T, open func(t *testing.T) VolumeDataUnder) {
	t.Run("clone", func(t *testing.T) {
		v := open(t)
		_, err := v.Clone(t.Context(), "data", "copy")
		wantClass(t, err, driver.ErrNotFound)
		made, _, err := v.Create(t.Context(), driver.VolumeSpec{Name: "data", Size: 8 * mib})
		must(t, err)
		got, err := v.Clone(t.Context(), "data", "copy")
		must(t, err)
		if got.Volume.Name != "copy" || got.Volume.ID == made.ID || got.Volume.Size != made.Size || got.Volume.Project != "" || !got.OwnIdentity {
			t.Errorf("%+v of %+v", got, made)
		}
		_, err = v.Clone(t.Context(), "data", "copy")
		wantClass(t, err, driver.ErrExists)
		_, err = v.Clone(t.Context(), "data", "../copy")
		wantClass(t, err, driver.ErrInvalid)
		release := v.Attach(t, "data", "db")
		_, err = v.Clone(t.Context(), "data", "other")
		wantClass(t, err, driver.ErrBusy)
		release()
		must(t, v.Delete(t.Context(), "copy"))
		if list, err := v.List(t.Context()); err != nil || len(list) != 1 {
			t.Errorf("List: %v, %v", list, err)
		}
	})
}
