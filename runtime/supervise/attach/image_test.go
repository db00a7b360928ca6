package attach

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"microagent/runtime/disk/ext4/super"
	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/runtime/lease"
)

func TestBadImagesAreRefused(t *testing.T) {
	dir := t.TempDir()
	image := func(name string, size int, incompat uint32) string {
		data := make([]byte, size)
		if size > 2048 {
			binary.LittleEndian.PutUint16(data[super.Offset+super.MagicOffset:], super.Magic)
			binary.LittleEndian.PutUint32(data[super.Offset+super.IncompatOffset:], incompat)
			binary.LittleEndian.PutUint32(data[super.Offset+0x4:], 8)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		path     string
		readOnly bool
		class    error
	}{
		{image("good", 8192, 0), true, nil},
		{image("dirty-rw", 8192, uint32(super.NeedsRecovery)), false, nil},
		{image("dirty-ro", 8192, uint32(super.NeedsRecovery)), true, driver.ErrRefused},
		{image("odd", 8193, 0), false, driver.ErrInvalid},
		{image("cut", 7680, 0), false, driver.ErrInvalid},
		{image("short", 100, 0), false, driver.ErrInvalid},
	} {
		s := acquirer{state: layout.State{Dir: dir}, workspace: "one"}
		a, err := s.acquireMount(0, driver.Mount{Path: "/x", Kind: driver.MountDisk, Name: "x", Source: c.path, ReadOnly: c.readOnly})
		if !errors.Is(err, c.class) {
			t.Errorf("%s: %v", c.path, err)
		}
		if err != nil && driver.Next(err) == "" {
			t.Errorf("%s: %v does not say what to do next", c.path, err)
		}
		if a.claim != nil && err == nil {
			a.claim.Close()
		}
		if held, _, err := lease.Probe(c.path); held || err != nil {
			t.Errorf("%s: a lease is left (%v)", c.path, err)
		}
	}
}

func TestAttachIsAllOrNothing(t *testing.T) {
	state := layout.State{Dir: t.TempDir()}
	if err := state.Prepare("test"); err != nil {
		t.Fatal(err)
	}
	folder := state.Workspace("one")
	if err := os.MkdirAll(folder.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(folder.RootFS(), make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	self, err := lease.Self()
	if err != nil {
		t.Fatal(err)
	}
	spec := driver.WorkspaceSpec{
		Name: "one", Mounts: []driver.Mount{{Path: "/x", Kind: driver.MountDisk, Name: "x", Source: filepath.Join(state.Dir, "none")}},
	}
	if _, err := Acquire(state, self, spec); !errors.Is(err, driver.ErrNotFound) {
		t.Errorf("%v", err)
	}
	if held, _, err := lease.Probe(folder.RootFS()); held || err != nil {
		t.Errorf("the root file system's lease is left (%v)", err)
	}
}
