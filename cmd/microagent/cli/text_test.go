package cli

import (
	"testing"

	"microagent/schema/spec"
)

func TestCutMount(t *testing.T) {
	for _, c := range []struct {
		in   string
		want mountFlag
		bad  bool
	}{
		{in: "data:/work", want: mountFlag{kind: spec.MountVolume, name: "data", path: "/work"}},
		{in: "counter.data:/work:ro", want: mountFlag{kind: spec.MountVolume, name: "counter.data", path: "/work", readOnly: true}},
		{in: "data:/work:size=1GiB", want: mountFlag{kind: spec.MountVolume, name: "data", path: "/work", size: 1 << 30}},
		{in: "/x/config.tar.gz:/config", want: mountFlag{kind: spec.MountBundle, name: "config", source: "/x/config.tar.gz", path: "/config", readOnly: true}},
		{in: "/a:b/m.ext4:/m:rw", want: mountFlag{kind: spec.MountDisk, name: "m", source: "/a:b/m.ext4", path: "/m"}},
		{in: "/x/config.tar:/config:rw", bad: true},
		{in: "data", bad: true},
		{in: "data:work", bad: true},
		{in: "data:/work:rx", bad: true},
		{in: "/tmp:/tmp", bad: true},
	} {
		got, err := parseVolume(c.in)
		if (err != nil) != c.bad {
			t.Errorf("%s: %v", c.in, err)
		}
		if !c.bad && got != c.want {
			t.Errorf("%s: %+v, want %+v", c.in, got, c.want)
		}
	}
}
