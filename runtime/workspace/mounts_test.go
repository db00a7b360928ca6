package workspace

import (
	"errors"
	"strings"
	"testing"

	"microagent/runtime/driver"
)

func TestMountsThatCanNotBe(t *testing.T) {
	volume := func(name, path string, readOnly bool) driver.Mount {
		return driver.Mount{Kind: driver.MountVolume, Name: name, Path: path, ReadOnly: readOnly}
	}
	disk := func(name, path string, readOnly bool) driver.Mount {
		return driver.Mount{Kind: driver.MountDisk, Name: name, Path: path, Source: "/models.ext4", ReadOnly: readOnly}
	}
	for _, c := range []struct {
		mounts []driver.Mount
		why    string // "" when they can be
	}{
		{[]driver.Mount{volume("a", "/a", false), volume("b", "/a/b", false)}, ""},
		{[]driver.Mount{volume("a", "/a", true), volume("a", "/b", true)}, ""},
		{[]driver.Mount{volume("a", "/developers", false)}, ""},
		{[]driver.Mount{volume("a", "/", false)}, "root file system"},
		{[]driver.Mount{volume("a", "/proc", false)}, "kernel's"},
		{[]driver.Mount{volume("a", "/dev/disk", false)}, "kernel's"},
		{[]driver.Mount{volume("a", "/a/../proc", false)}, "not absolute and clean"},
		{[]driver.Mount{volume("a", "a", false)}, "not absolute and clean"},
		{[]driver.Mount{volume("a", "/a", false), volume("b", "/a", false)}, "two mounts at /a"},
		{[]driver.Mount{volume("a", "/a", false), volume("a", "/b", true)}, "volume a is mounted at /a and at /b"},
		{[]driver.Mount{disk("a", "/a", true), disk("b", "/b", false)}, "one of them writes"},
	} {
		s := wordStore(t)
		w := rooted("one")
		w.Mounts = c.mounts
		_, err := s.Create(t.Context(), w, nil)
		switch {
		case c.why == "" && err != nil:
			t.Errorf("%v: %v", c.mounts, err)
		case c.why != "" && (!errors.Is(err, driver.ErrInvalid) || !strings.Contains(err.Error(), c.why) || driver.Next(err) == ""):
			t.Errorf("%v: %v (%s)", c.mounts, err, driver.Next(err))
		}
	}
}
