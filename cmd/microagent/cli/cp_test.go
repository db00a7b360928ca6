package cli

import (
	"slices"
	"testing"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/schema/spec"
)

func TestCutGuest(t *testing.T) {
	for in, want := range map[string]guestSide{
		"scratch:/etc/x":        {workspace: "scratch", path: "/etc/x"},
		"scratch:data:/x":       {"scratch", "data", "/x"},
		"scratch:/a:b c\n\"'":   {workspace: "scratch", path: "/a:b c\n\"'"},
		"counter.web:data:/x:/": {"counter.web", "data", "/x:/"},
	} {
		if got, ok := cutGuest(in); !ok || got != want {
			t.Errorf("%q: %+v, %v", in, got, ok)
		}
	}
	for _, in := range []string{"-", "./scratch:/x", "/tmp/a:/b", "file", ":/x", "scratch:x", "scratch::/x", "scratch:data:x", ""} {
		if got, ok := cutGuest(in); ok {
			t.Errorf("%q is taken for %+v", in, got)
		}
	}
}

func TestGuestEnd(t *testing.T) {
	ws := driver.Workspace{Spec: driver.WorkspaceSpec{Name: "p.ws", Project: "p", Mounts: []spec.Mount{
		{Path: "/config", Kind: spec.MountBundle, Name: "config", Source: "bundle-v1-key"},
		{Path: "/models", Kind: spec.MountDisk, Name: "models", Source: "/srv/m.ext4", ReadOnly: true},
		{Path: "/work", Kind: spec.MountVolume, Name: "p.data"},
		{Path: "/work/inner", Kind: spec.MountVolume, Name: "inner"},
	}}}
	w := &world{state: layout.State{Dir: "/s"}}
	const root, data = "/s/workspaces/p.ws/rootfs.ext4", "/s/volumes/p.data.ext4"
	for _, c := range []struct {
		side     guestSide
		running  bool
		image    string
		path, as string
		covered  []string
		readOnly bool
	}{
		{side: guestSide{path: "/etc/x"}, image: root, path: "/etc/x", covered: []string{"/config", "/models", "/work", "/work/inner"}},
		{side: guestSide{path: "/workshop"}, image: root, path: "/workshop", covered: []string{"/config", "/models", "/work", "/work/inner"}},
		{side: guestSide{path: "/work/a/../b/"}, image: data, path: "/b/", covered: []string{"/inner"}},
		{side: guestSide{path: "/work"}, image: data, path: "/", as: "work", covered: []string{"/inner"}},
		{side: guestSide{path: "/work/."}, image: data, path: "/", covered: []string{"/inner"}},
		{side: guestSide{path: "/work/d/."}, image: data, path: "/d/.", covered: []string{"/inner"}},
		{side: guestSide{path: "/work/inner/x."}, image: "/s/volumes/inner.ext4", path: "/x."},
		{side: guestSide{disk: "data", path: "/x"}, image: data, path: "/x", covered: []string{"/inner"}},
		{side: guestSide{disk: "p.data", path: "/x/"}, image: data, path: "/x/", covered: []string{"/inner"}},
		{side: guestSide{disk: "config", path: "/x"}, image: "/s/cache/disks/bundle-v1-key.ext4", path: "/x", readOnly: true},
		{side: guestSide{path: "/models/x"}, image: "/srv/m.ext4", path: "/x", readOnly: true},
		{side: guestSide{disk: "data", path: "/x/"}, running: true, path: "/work/x/"},
		{side: guestSide{path: "/work/x"}, running: true, path: "/work/x"},
		{side: guestSide{disk: "config", path: "/x"}, running: true, path: "/config/x", readOnly: true},
	} {
		got, err := guestEnd(w, ws, c.side, c.running)
		if err != nil {
			t.Errorf("%+v: %v", c.side, err)
			continue
		}
		if got.Image != c.image || got.Path != c.path || got.As != c.as || !slices.Equal(got.Covered, c.covered) || (got.ReadOnly != "") != c.readOnly {
			t.Errorf("%+v: %+v", c.side, got)
		}
	}
	if _, err := guestEnd(w, ws, guestSide{disk: "none", path: "/"}, false); err == nil {
		t.Error("an unknown disk was found")
	}
}
