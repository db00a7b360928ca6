package drivertest

import (
	"testing"

	"microagent/runtime/driver"
)

func TestFakeImages(t *testing.T) {
	Images(t, func(t *testing.T) (driver.Images, ImageSources) {
		fake := &FakeImages{Remote: map[string]FakeImage{"alpine": {
			Config: driver.ImageConfig{Cmd: []string{"sh"}, Env: map[string]string{"A": "b"}},
			Layers: [][]byte{Tar(t, Entry{Name: "bin/sh", Data: "x"})},
		}}}
		return fake, ImageSources{Here: driver.ImageSource{Ref: "alpine"}, Gone: driver.ImageSource{Ref: "nobody/has:it"}}
	})
}
