package drivertest

import (
	"reflect"
	"slices"
	"testing"

	"microagent/runtime/driver"
)

// VolumesUnder is an implementation of driver.Volumes and what a test needs beside it.
type VolumesUnder struct {
	driver.Volumes
	// Attach holds the volume as a running workspace would, until release is called.
	Attach func(t *testing.T, volume, workspace string) (release func())
}

const mib = int64(1) << 20

// Volumes checks an implementation of driver.Volumes. open gives an empty one.
func Volumes(t *testing.T, open func(t *testing.T) VolumesUnder) {
	t.Run("empty", func(t *testing.T) {
		v := open(t)
		if list, err := v.List(t.Context()); err != nil || len(list) != 0 {
			t.Errorf("List: %v, %v", list, err)
		}
		_, err := v.Get(t.Context(), "data")
		wantClass(t, err, driver.ErrNotFound)
		_, err = v.Find(t.Context(), "data")
		wantClass(t, err, driver.ErrNotFound)
		must(t, v.Delete(t.Context(), "data"))
		_, err = v.Grow(t.Context(), "data", mib, driver.ByApply)
		wantClass(t, err, driver.ErrNotFound)
		wantClass(t, v.Adopt(t.Context(), "data", "p"), driver.ErrNotFound)
		wantClass(t, v.Protect(t.Context(), "data", true), driver.ErrNotFound)
	})
	t.Run("create", func(t *testing.T) { volumesCreate(t, open(t)) })
	t.Run("invalid", func(t *testing.T) {
		v := open(t)
		for _, spec := range []driver.VolumeSpec{
			{Name: "", Size: mib}, {Name: "../x", Size: mib}, {Name: "Data", Size: mib}, {Name: "a.b.c", Size: mib},
			{Name: "data", Size: 0}, {Name: "data", Size: -mib}, {Name: "data", Size: mib + 1},
		} {
			_, _, err := v.Create(t.Context(), spec)
			wantClass(t, err, driver.ErrInvalid)
		}
		if list, err := v.List(t.Context()); err != nil || len(list) != 0 {
			t.Errorf("after refusals: %v, %v", list, err)
		}
	})
	t.Run("grow", func(t *testing.T) {
		v := open(t)
		_, _, err := v.Create(t.Context(), driver.VolumeSpec{Name: "data", Size: mib})
		must(t, err)
		before, err := v.Get(t.Context(), "data")
		must(t, err)
		after, err := v.Grow(t.Context(), "data", 4*mib, driver.ByApply)
		must(t, err)
		if after.Size != 4*mib || after.ID != before.ID || after.RecordDigest == before.RecordDigest {
			t.Errorf("before %+v, after %+v", before, after)
		}
		again, err := v.Grow(t.Context(), "data", 4*mib, driver.ByApply)
		if err != nil || again.RecordDigest != after.RecordDigest {
			t.Errorf("growing to the size it has: %+v, %v", again, err)
		}
		_, err = v.Grow(t.Context(), "data", mib, driver.ByApply)
		wantClass(t, err, driver.ErrRefused)
	})
	t.Run("grow by a command", func(t *testing.T) { volumesGrown(t, open(t)) })
	t.Run("attached", func(t *testing.T) { volumesAttached(t, open(t)) })
	t.Run("protect", func(t *testing.T) {
		v := open(t)
		_, _, err := v.Create(t.Context(), driver.VolumeSpec{Name: "data", Size: mib})
		must(t, err)
		must(t, v.Protect(t.Context(), "data", true))
		must(t, v.Protect(t.Context(), "data", true))
		if got, err := v.Get(t.Context(), "data"); err != nil || !got.Protected {
			t.Errorf("Get: %+v, %v", got, err)
		}
		wantClass(t, v.Delete(t.Context(), "data"), driver.ErrRefused)
		must(t, v.Protect(t.Context(), "data", false))
		must(t, v.Delete(t.Context(), "data"))
		_, err = v.Get(t.Context(), "data")
		wantClass(t, err, driver.ErrNotFound)
	})
	t.Run("move", func(t *testing.T) { volumesMove(t, open(t)) })
	t.Run("adopt", func(t *testing.T) {
		v := open(t)
		_, _, err := v.Create(t.Context(), driver.VolumeSpec{Name: "data", Size: mib})
		must(t, err)
		before, err := v.Get(t.Context(), "data")
		must(t, err)
		must(t, v.Adopt(t.Context(), "data", "counter"))
		after, err := v.Get(t.Context(), "data")
		must(t, err)
		if after.Project != "counter" || after.ID != before.ID || after.RecordDigest == before.RecordDigest {
			t.Errorf("before %+v, after %+v", before, after)
		}
		must(t, v.Adopt(t.Context(), "data", "counter"))
		if again, err := v.Get(t.Context(), "data"); err != nil || again.RecordDigest != after.RecordDigest {
			t.Errorf("adopting twice changed the record: %+v, %v", again, err)
		}
	})
}

func volumesCreate(t *testing.T, v VolumesUnder) {
	spec := driver.VolumeSpec{Name: "counter.data", Project: "counter", Size: 2 * mib}
	made, created, err := v.Create(t.Context(), spec)
	must(t, err)
	if !created || made.Name != spec.Name || made.Project != spec.Project || made.Size != spec.Size ||
		made.ID == "" || made.RecordDigest == "" || made.Created.IsZero() || made.Attached || made.Holder != nil {
		t.Errorf("created %v: %+v", created, made)
	}
	again, created, err := v.Create(t.Context(), spec)
	must(t, err)
	if created || again.ID != made.ID || again.RecordDigest != made.RecordDigest {
		t.Errorf("second create: created %v: %+v", created, again)
	}
	_, _, err = v.Create(t.Context(), driver.VolumeSpec{Name: spec.Name, Project: spec.Project, Size: mib})
	wantClass(t, err, driver.ErrExists)
	for _, project := range []string{"", "other"} {
		_, _, err = v.Create(t.Context(), driver.VolumeSpec{Name: spec.Name, Project: project, Size: spec.Size})
		wantClass(t, err, driver.ErrRefused)
		if driver.Next(err) == "" {
			t.Errorf("%v does not say what to do next", err)
		}
	}
	_, _, err = v.Create(t.Context(), driver.VolumeSpec{Name: "alpha", Size: mib})
	must(t, err)
	list, err := v.List(t.Context())
	must(t, err)
	names := make([]string, 0, len(list))
	for _, one := range list {
		names = append(names, one.Name)
	}
	if !slices.Equal(names, []string{"alpha", "counter.data"}) {
		t.Errorf("List: %v", names)
	}
	must(t, v.Delete(t.Context(), spec.Name))
	must(t, v.Delete(t.Context(), spec.Name))
	fresh, created, err := v.Create(t.Context(), spec)
	must(t, err)
	if !created || fresh.ID == made.ID {
		t.Errorf("a volume made anew has the id of the deleted one: %+v", fresh)
	}
}

func volumesMove(t *testing.T, v VolumesUnder) {
	wantClass(t, v.Move(t.Context(), "counter.data", "counter.stuff", "shop"), driver.ErrNotFound)
	made, _, err := v.Create(t.Context(), driver.VolumeSpec{Name: "counter.data", Project: "counter", Size: mib})
	must(t, err)
	must(t, v.Protect(t.Context(), "counter.data", true))
	release := v.Attach(t, "counter.data", "db")
	wantClass(t, v.Move(t.Context(), "counter.data", "counter.stuff", "shop"), driver.ErrBusy)
	release()
	must(t, v.Move(t.Context(), "counter.data", "counter.stuff", "shop"))
	got, err := v.Get(t.Context(), "counter.stuff")
	must(t, err)
	if got.ID != made.ID || got.Project != "shop" || got.Size != mib || !got.Protected || got.ImageMissing || got.Changed != "" || !got.Created.Equal(made.Created) {
		t.Errorf("%+v became %+v", made, got)
	}
	_, err = v.Get(t.Context(), "counter.data")
	wantClass(t, err, driver.ErrNotFound)
	wantClass(t, v.Move(t.Context(), "counter.data", "counter.stuff", "shop"), driver.ErrNotFound)
	_, _, err = v.Create(t.Context(), driver.VolumeSpec{Name: "counter.data", Project: "counter", Size: mib})
	must(t, err) // the old name is free
	wantClass(t, v.Move(t.Context(), "counter.stuff", "counter.data", "shop"), driver.ErrExists)
	wantClass(t, v.Move(t.Context(), "counter.stuff", "counter.stuff", "shop"), driver.ErrInvalid)
	wantClass(t, v.Move(t.Context(), "counter.stuff", "../stuff", "shop"), driver.ErrInvalid)
	if list, err := v.List(t.Context()); err != nil || len(list) != 2 {
		t.Errorf("List: %v, %v", list, err)
	}
}

func volumesAttached(t *testing.T, v VolumesUnder) {
	_, _, err := v.Create(t.Context(), driver.VolumeSpec{Name: "data", Size: mib})
	must(t, err)
	release := v.Attach(t, "data", "db")
	got, err := v.Get(t.Context(), "data")
	must(t, err)
	if !got.Attached || got.Holder == nil || got.Holder.Workspace != "db" {
		t.Errorf("while attached: %+v", got)
	}
	found, err := v.Find(t.Context(), "data")
	must(t, err)
	got.Attached, got.Holder = false, nil
	if !reflect.DeepEqual(found, got) {
		t.Errorf("found %+v, and got %+v", found, got)
	}
	err = v.Delete(t.Context(), "data")
	wantClass(t, err, driver.ErrBusy)
	if driver.Next(err) == "" {
		t.Errorf("%v does not say what to do next", err)
	}
	wantClass(t, v.Adopt(t.Context(), "data", "counter"), driver.ErrBusy)
	release()
	got, err = v.Get(t.Context(), "data")
	must(t, err)
	if got.Attached || got.Holder == nil || got.Holder.Workspace != "db" {
		t.Errorf("after release: %+v", got)
	}
	must(t, v.Delete(t.Context(), "data"))
}

// volumesGrown: what an apply gave a project's volume is known until an apply gives it more.
func volumesGrown(t *testing.T, v VolumesUnder) {
	grow := func(name string, size int64, by driver.Grower, declared int64) {
		t.Helper()
		if got, err := v.Grow(t.Context(), name, size, by); err != nil || got.Size != size || got.Declared != declared {
			t.Errorf("%s grows to %d: %+v, %v", name, size, got, err)
		}
	}
	for name, project := range map[string]string{"p.data": "p", "data": ""} {
		_, _, err := v.Create(t.Context(), driver.VolumeSpec{Name: name, Project: project, Size: mib})
		must(t, err)
	}
	grow("p.data", 2*mib, driver.ByCommand, mib)
	grow("p.data", 4*mib, driver.ByCommand, mib)
	grow("p.data", 4*mib, driver.ByApply, mib) // which made it no larger
	grow("p.data", 8*mib, driver.ByApply, 0)
	grow("data", 2*mib, driver.ByCommand, 0)
	grow("p.data", 16*mib, driver.ByCommand, 8*mib)
	must(t, v.Adopt(t.Context(), "p.data", "q")) // whose applies gave it no size
	grow("p.data", 16*mib, driver.ByApply, 0)
}
