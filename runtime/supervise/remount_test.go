package supervise

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"microagent/ch"
	"microagent/runtime/driver"
	"microagent/runtime/guest/proto"
	"microagent/runtime/layout"
	"microagent/runtime/lease"
	"microagent/runtime/machine"
	"microagent/runtime/supervise/attach"
	"microagent/runtime/supervise/control"
)

// failing is a VMM that does not do what it is asked, for these reasons.
type failing struct{ plug, unplug error }

func (f failing) Plug(context.Context, machine.Disk, *os.File) error { return f.plug }
func (f failing) Unplug(context.Context, string) error               { return f.unplug }

// TestWhatIsUnmountedIsMountedNoMore: a guest that does not let go of one disk has unmounted the others as well, which stay
// its workspace's as long as the VMM has them.
func TestWhatIsUnmountedIsMountedNoMore(t *testing.T) {
	disks := emptyDisks(t, 2)
	synctest.Test(t, func(t *testing.T) {
		s, _, session := stuck(t, driver.WorkspaceSpec{Name: "one"}, "unmount")
		for n, m := range disks {
			s.disks = append(s.disks, leased(t, n, m))
		}
		defer s.disks.Release()
		err := remount{s, failing{unplug: machine.ErrPlugged}, session}.to(t.Context(), nil)
		if !errors.Is(err, machine.ErrPlugged) {
			t.Error(err)
		}
		if mounted := s.attached().Mounts(); len(mounted) > 0 {
			t.Errorf("mounted: %v", mounted)
		}
		for _, m := range disks {
			wantLeased(t, m, true)
		}
	})
}

// TestMountInUse: what the guest says is in use is busy to everybody, also over the control socket.
func TestMountInUse(t *testing.T) {
	r := remount{supervisor: &supervisor{spec: Spec{Workspace: driver.WorkspaceSpec{Name: "one"}}}}
	err := r.inUse(attach.Disk{}, &proto.GuestError{Op: "unmount", Code: proto.CodeRefused, Message: "/one is in use by 101 (sleep)"})
	if f := control.FailureOf(err); f.Class != "busy" || !strings.Contains(f.Message, "in use by 101 (sleep)") || f.Next != "microagent halt one" {
		t.Errorf("%+v", f)
	}
}

// TestPlugWithoutAnAnswer: a disk that the VMM may have stays its workspace's, and one that it refused is free.
func TestPlugWithoutAnAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		kept bool
	}{
		"no answer": {&ch.UnknownOutcomeError{Endpoint: "vm.add-disk", Err: context.DeadlineExceeded}, true},
		"refused":   {&ch.Error{Endpoint: "vm.add-disk", Status: 500}, false},
	} {
		t.Run(name, func(t *testing.T) {
			disks := emptyDisks(t, 1)
			synctest.Test(t, func(t *testing.T) {
				s, _, session := stuck(t, driver.WorkspaceSpec{Name: "one"}, "")
				defer func() { s.disks.Release() }()
				if err := (remount{s, failing{plug: c.err}, session}).to(t.Context(), disks); !errors.Is(err, c.err) {
					t.Error(err)
				}
				if has := len(s.attached()) == 1; has != c.kept || len(s.attached().Mounts()) > 0 {
					t.Errorf("attached: %v", s.attached())
				}
				wantLeased(t, disks[0], c.kept)
			})
		})
	}
}

// emptyDisks are disks that a guest could mount.
func emptyDisks(t *testing.T, count int) (mounts []driver.Mount) {
	t.Helper()
	for n := range count {
		path := filepath.Join(t.TempDir(), "disk")
		if out, err := exec.Command("mke2fs", "-q", "-t", "ext4", path, "4M").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		mounts = append(mounts, driver.Mount{Kind: driver.MountDisk, Name: "disk", Source: path, Path: "/" + string(rune('a'+n))})
	}
	return mounts
}

func leased(t *testing.T, n int, m driver.Mount) attach.Disk {
	t.Helper()
	d, err := attach.Add(layout.State{}, lease.Process{}, "one", n, m)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func wantLeased(t *testing.T, m driver.Mount, want bool) {
	t.Helper()
	l, err := lease.Acquire(m.Source, lease.Exclusive)
	if err == nil {
		l.Close()
	}
	if got := errors.Is(err, driver.ErrBusy); got != want {
		t.Errorf("%s is leased: %t, want %t (%v)", m.Path, got, want, err)
	}
}
