package drivertest

import (
	"testing"

	"microagent/runtime/driver"
)

func TestFakeWorkspaces(t *testing.T) {
	spec := func(digest string) func(*testing.T, string) driver.WorkspaceSpec {
		return func(_ *testing.T, name string) driver.WorkspaceSpec {
			return driver.WorkspaceSpec{
				Name: name, Image: "busybox", ImageDigest: digest, RootFS: "rootfs-v1-" + digest, DiskSize: 64 * mib,
				CPUs: 1, Memory: 128 * mib, Isolation: "any",
			}
		}
	}
	Workspaces(t, func(*testing.T) WorkspacesUnder {
		return WorkspacesUnder{Workspaces: &FakeWorkspaces{}, Spec: spec("sha256:aa"), Other: spec("sha256:bb")}
	})
}

func TestFakeWorkspacesAttachVolumes(t *testing.T) {
	volumes := &FakeVolumes{}
	w := &FakeWorkspaces{Volumes: volumes}
	_, _, err := volumes.Create(t.Context(), driver.VolumeSpec{Name: "data", Size: mib})
	must(t, err)
	for _, name := range []string{"one", "two"} {
		_, err := w.Create(t.Context(), driver.WorkspaceSpec{
			Name: name, Process: driver.Process{Mode: driver.ModeIdle},
			Mounts: []driver.Mount{{Path: "/data", Kind: driver.MountVolume, Name: "data"}},
		}, nil)
		must(t, err)
	}
	_, err = w.Start(t.Context(), "one", driver.StartOptions{})
	must(t, err)
	_, err = w.Start(t.Context(), "two", driver.StartOptions{})
	wantClass(t, err, driver.ErrBusy)
	w.Break("one", driver.PhaseLost, "")
	_, err = w.Start(t.Context(), "two", driver.StartOptions{})
	must(t, err)
}
