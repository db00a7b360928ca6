package attach

import (
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"microagent/runtime/disk/ext4/super"
	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/runtime/lease"
	"microagent/runtime/volume"
)

// TestAttachEndsWhatADeadHolderLeft has an orphan with the root file system of one workspace and a volume, as a VMM
// that outlived its supervisor; another workspace attaches the volume.
func TestAttachEndsWhatADeadHolderLeft(t *testing.T) {
	flock, err := exec.LookPath("flock")
	if err != nil {
		t.Skip("flock of util-linux is not installed")
	}
	state := layout.State{Dir: t.TempDir()}
	if err := state.Prepare("test"); err != nil {
		t.Fatal(err)
	}
	dead := state.Workspace("dead")
	if err := os.MkdirAll(dead.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	image := make([]byte, 4096)
	binary.LittleEndian.PutUint16(image[super.Offset+super.MagicOffset:], super.Magic)
	for _, path := range []string{dead.RootFS(), state.VolumeImage("data")} {
		if err := os.WriteFile(path, image, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("sh", "-c", `exec 3<>"$1" 4<>"$2"; "$0" -n 3; "$0" -n 4; sleep 1000 >/dev/null 2>&1 & echo $!`,
		flock, dead.RootFS(), state.VolumeImage("data"))
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
	for path, v := range map[string]any{
		dead.Run():                 driver.Run{ID: "1", Phase: driver.PhaseRunning, PID: cmd.Process.Pid, BootID: "another"},
		state.VolumeRecord("data"): layout.Meta{Format: layout.Format, Kind: "volume", Name: "data", ID: "v"},
	} {
		if err := layout.WriteJSON(path, v); err != nil {
			t.Fatal(err)
		}
	}
	s := acquirer{state: state, workspace: "one"}
	mount := driver.Mount{Path: "/data", Kind: driver.MountVolume, Name: "data", Source: "v"}

	// Nobody knows of a holder: it could be anyone's, and is left alone.
	if _, err := s.acquireMount(0, mount); !errors.Is(err, driver.ErrBusy) {
		t.Fatalf("without a note of the holder: %v", err)
	}
	self, err := lease.Self()
	if err != nil {
		t.Fatal(err)
	}
	alive := driver.Holder{Workspace: "dead", PID: self.PID, BootID: self.BootID, Start: self.Start}
	if err := volume.WriteHolder(state, "data", alive); err != nil {
		t.Fatal(err)
	}
	if _, err := s.acquireMount(0, mount); !errors.Is(err, driver.ErrBusy) {
		t.Fatalf("with a holder that lives: %v", err)
	}
	if err := volume.WriteHolder(state, "data", driver.Holder{Workspace: "dead", PID: cmd.Process.Pid, BootID: "another"}); err != nil {
		t.Fatal(err)
	}
	a, err := s.acquireMount(0, mount)
	if err != nil {
		t.Fatalf("with a holder that is dead: %v", err)
	}
	a.claim.Close()
}
