package control

import (
	"os"
	"os/exec"
	"testing"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/runtime/lease"
)

func workspace(t *testing.T) layout.Workspace {
	t.Helper()
	w := layout.Workspace{Dir: t.TempDir()}
	if err := os.WriteFile(w.RootFS(), make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestOrphanedVMMIsEnded(t *testing.T) {
	folder := workspace(t)
	l, err := lease.Acquire(folder.RootFS(), lease.Exclusive)
	if err != nil {
		t.Fatal(err)
	}
	// The taker of the lease must be dead: a shell takes it and hands it on.
	l.Close()
	flock, err := exec.LookPath("flock")
	if err != nil {
		t.Skip("flock of util-linux is not installed")
	}
	cmd := exec.Command("sh", "-c", `exec 3<>"$1"; "$0" -n 3; sleep 1000 >/dev/null 2>&1 & echo $!`, flock, folder.RootFS())
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if held, _, err := lease.Probe(folder.RootFS()); err != nil || !held {
		t.Fatalf("the orphan %s holds nothing: %v", out, err)
	}
	self, err := lease.Self()
	if err != nil {
		t.Fatal(err)
	}
	dead := driver.Run{ID: "x", Phase: driver.PhaseRunning, PID: cmd.Process.Pid, BootID: self.BootID, Start: 1}
	if err := layout.WriteJSON(folder.Run(), dead); err != nil {
		t.Fatal(err)
	}
	if run, err := ReadRun(folder); err != nil || run.Phase != driver.PhaseLost {
		t.Errorf("ReadRun: %+v, %v", run, err)
	}
	if err := Reclaim(t.Context(), folder); err != nil {
		t.Fatal(err)
	}
	l, err = lease.Acquire(folder.RootFS(), lease.Exclusive)
	if err != nil {
		t.Fatalf("after Reclaim: %v", err)
	}
	l.Close()
}

func TestReclaimLeavesTheLivingAlone(t *testing.T) {
	folder := workspace(t)
	l, err := lease.Acquire(folder.RootFS(), lease.Exclusive)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := layout.WriteJSON(folder.Run(), driver.Run{ID: "x", Phase: driver.PhaseRunning, PID: 1 << 22, BootID: "another boot"}); err != nil {
		t.Fatal(err)
	}
	if err := Reclaim(t.Context(), folder); err != nil {
		t.Fatal(err)
	}
	if held, _, err := lease.Probe(folder.RootFS()); err != nil || !held {
		t.Errorf("a lease of a living process was taken away: %v", err)
	}
}
