package attach

import (
	"encoding/binary"
	"errors"
	"os"
	"testing"
	"time"

	"microagent/runtime/disk/ext4/super"
	"microagent/runtime/driver"
	"microagent/runtime/guest/proto"
	"microagent/runtime/layout"
	"microagent/runtime/lease"
	"microagent/runtime/machine"
)

// TestVolumeMadeAnewDuringAttach deletes a volume and makes it anew, under its lease, while an attach waits for that
// lease: the new one is not the one that the workspace was set up with.
func TestVolumeMadeAnewDuringAttach(t *testing.T) {
	state := layout.State{Dir: t.TempDir()}
	if err := state.Prepare("test"); err != nil {
		t.Fatal(err)
	}
	image := make([]byte, 4096)
	binary.LittleEndian.PutUint16(image[super.Offset+super.MagicOffset:], super.Magic)
	if err := os.WriteFile(state.VolumeImage("data"), image, 0o600); err != nil {
		t.Fatal(err)
	}
	record := func(id string) {
		if err := layout.WriteJSON(state.VolumeRecord("data"), layout.Meta{Format: layout.Format, Kind: "volume", Name: "data", ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	record("old")
	l, err := lease.Acquire(state.VolumeImage("data"), lease.Exclusive)
	if err != nil {
		t.Fatal(err)
	}
	s := acquirer{state: state, workspace: "one"}
	attached := make(chan error, 1)
	go func() {
		a, err := s.acquireMount(0, driver.Mount{Path: "/data", Kind: driver.MountVolume, Name: "data", Source: "old"})
		if err == nil {
			a.claim.Close()
		}
		attached <- err
	}()
	// Long enough that the attach waits for the lease by now, and well within its patience.
	time.Sleep(20 * time.Millisecond)
	record("new")
	l.Close()
	if err := <-attached; !errors.Is(err, driver.ErrStale) && !errors.Is(err, driver.ErrBusy) {
		t.Errorf("attached the new volume for the old one: %v", err)
	}
}

func TestGuestsErrorsNameDisksAsTheUserDoes(t *testing.T) {
	s := Disks{
		{Machine: machine.Disk{Serial: rootSerial}},
		{Machine: machine.Disk{Serial: "m00"}, Kind: driver.MountVolume, Name: "data", Mount: proto.Mount{Path: "/data"}},
	}
	for text, want := range map[string]string{
		"disk m00: make mount point: mkdir /data: not a directory": "volume data at /data: make mount point: mkdir /data: not a directory",
		"disk m00 for /data: grow: no space":                       "volume data at /data: grow: no space",
		"disk root: bad":                                           "the root file system: bad",
		"disk m01: bad":                                            "disk m01: bad",
	} {
		if got := s.NameIn(text); got != want {
			t.Errorf("%q became %q", text, got)
		}
	}
}
