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
	t.Run("snapshots", func(t *testing.T) { volumeSnapshots(t, open(t)) })
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

func volumeSnapshots(t *testing.T, v VolumeDataUnder) {
	_, err := v.Snapshot(t.Context(), "data", "one", driver.MadeByHand)
	wantClass(t, err, driver.ErrNotFound)
	made, _, err := v.Create(t.Context(), driver.VolumeSpec{Name: "data", Size: 8 * mib})
	must(t, err)
	one, err := v.Snapshot(t.Context(), "data", "one", driver.MadeByApply)
	must(t, err)
	if one.Volume != "data" || one.Tag != "one" || one.Of != made.ID || one.Size != made.Size || one.Made != driver.MadeByApply || one.Created.IsZero() {
		t.Errorf("%+v of %+v", one, made)
	}
	_, err = v.Snapshot(t.Context(), "data", "one", driver.MadeByHand)
	wantClass(t, err, driver.ErrExists)
	for _, tag := range []string{"../x", "A", "a b"} {
		_, err = v.Snapshot(t.Context(), "data", tag, driver.MadeByHand)
		wantClass(t, err, driver.ErrInvalid)
	}
	release := v.Attach(t, "data", "db")
	_, err = v.Snapshot(t.Context(), "data", "two", driver.MadeByHand)
	wantClass(t, err, driver.ErrBusy)
	_, err = v.Restore(t.Context(), "data", "one")
	wantClass(t, err, driver.ErrBusy)
	release()
	timed, err := v.Snapshot(t.Context(), "data", "", driver.MadeByHand)
	must(t, err)
	if timed.Tag == "" {
		t.Errorf("no tag: %+v", timed)
	}
	_, err = v.Restore(t.Context(), "data", "none")
	wantClass(t, err, driver.ErrNotFound)
	_, err = v.Grow(t.Context(), "data", 16*mib, driver.ByApply)
	must(t, err)
	back, err := v.Restore(t.Context(), "data", "one")
	must(t, err)
	if back.Volume.ID != made.ID || back.Volume.Size != 16*mib || back.Volume.Changed != "" || back.Kept == nil || back.Kept.Tag != "before-one" {
		t.Errorf("restored: %+v", back)
	}
	_, err = v.Clone(t.Context(), "data:before-one", "copy")
	must(t, err)
	spec := driver.VolumeSpec{Name: "p.new", Project: "p", Size: 32 * mib, From: "data:one"}
	fresh, created, err := v.Create(t.Context(), spec)
	must(t, err)
	if !created || fresh.Size != 32*mib || fresh.Project != "p" {
		t.Errorf("from a snapshot: %+v", fresh)
	}
	_, created, err = v.Create(t.Context(), spec)
	must(t, err)
	if created {
		t.Error("it was made twice")
	}
	_, _, err = v.Create(t.Context(), driver.VolumeSpec{Name: "small", Size: 4 * mib, From: "data"})
	wantClass(t, err, driver.ErrRefused)
	_, _, err = v.Create(t.Context(), driver.VolumeSpec{Name: "small", Size: 32 * mib, From: "data:none"})
	wantClass(t, err, driver.ErrNotFound)
	must(t, v.DeleteSnapshot(t.Context(), "data", timed.Tag))
	must(t, v.DeleteSnapshot(t.Context(), "data", timed.Tag))
	must(t, v.Delete(t.Context(), "data"))
	list, err := v.Snapshots(t.Context(), "data")
	must(t, err)
	if len(list) != 2 {
		t.Errorf("a volume's snapshots outlive it: %+v", list)
	}
	again, err := v.Restore(t.Context(), "data", "one")
	must(t, err)
	if again.Kept != nil || again.Volume.Size != 8*mib || again.Volume.Name != "data" {
		t.Errorf("after the volume was deleted: %+v", again)
	}
	if list, err := v.Snapshots(t.Context(), ""); err != nil || len(list) != 2 {
		t.Errorf("all: %+v, %v", list, err)
	}
}
