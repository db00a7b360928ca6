package attach

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"time"

	"microagent/runtime/disk/ext4/super"
	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

// TestLeftBy: of a workspace whose supervisor was killed each disk that it could write is told of, by the time of the
// last write and the state of its journal, and none that it could not.
func TestLeftBy(t *testing.T) {
	state := layout.State{Dir: t.TempDir()}
	written := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	image := func(path string, compat super.Compat, incompat super.Incompat) {
		t.Helper()
		data := make([]byte, 8192)
		binary.LittleEndian.PutUint16(data[super.Offset+super.MagicOffset:], super.Magic)
		binary.LittleEndian.PutUint32(data[super.Offset+super.IncompatOffset-4:], uint32(compat)) // s_feature_compat
		binary.LittleEndian.PutUint32(data[super.Offset+super.IncompatOffset:], uint32(incompat))
		binary.LittleEndian.PutUint32(data[super.Offset+0x4:], 8)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, written, written); err != nil {
			t.Fatal(err)
		}
	}
	image(state.Workspace("one").RootFS(), super.HasJournal, super.NeedsRecovery)
	image(state.VolumeImage("clean"), super.HasJournal, 0)
	image(state.VolumeImage("plain"), 0, 0)
	image(state.VolumeImage("read"), super.HasJournal, 0)
	got := LeftBy(state, driver.WorkspaceSpec{Name: "one", Mounts: []driver.Mount{
		{Kind: driver.MountVolume, Name: "clean"}, {Kind: driver.MountVolume, Name: "plain"},
		{Kind: driver.MountVolume, Name: "read", ReadOnly: true}, {Kind: driver.MountVolume, Name: "gone"},
	}})
	want := []driver.LostImage{
		{Name: "the root file system", LastWrite: written, Journal: driver.JournalDirty},
		{Name: "volume clean", LastWrite: written, Journal: driver.JournalClean},
		{Name: "volume plain", LastWrite: written, Journal: driver.JournalUnknown},
	}
	if len(got) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%+v, not %+v", got[i], want[i])
		}
	}
}
