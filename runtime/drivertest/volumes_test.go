package drivertest

import "testing"

func TestFakeVolumes(t *testing.T) {
	Volumes(t, func(t *testing.T) VolumesUnder {
		f := &FakeVolumes{}
		return VolumesUnder{Volumes: f, Attach: func(t *testing.T, volume, workspace string) func() {
			must(t, f.Attach(volume, workspace))
			return func() { f.Release(workspace) }
		}}
	})
}
