package drivertest

import "testing"

func TestFakeVolumes(t *testing.T) {
	under := func(f *FakeVolumes) VolumesUnder {
		return VolumesUnder{Volumes: f, Attach: func(t *testing.T, volume, workspace string) func() {
			must(t, f.Attach(volume, workspace))
			return func() { f.Release(workspace) }
		}}
	}
	Volumes(t, func(*testing.T) VolumesUnder { return under(&FakeVolumes{}) })
	VolumeData(t, func(*testing.T) VolumeDataUnder {
		f := &FakeVolumes{}
		return VolumeDataUnder{under(f), f}
	})
}
