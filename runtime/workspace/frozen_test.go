package workspace

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/drivertest"
	"microagent/runtime/lease"
)

// freeze stops the process that runs the guest, as a guest looks that has stopped answering.
func freeze(t *testing.T, s *Store, name string) {
	t.Helper()
	holders, err := lease.Inheritors(s.State.Workspace(name).RootFS())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range holders {
		comm, _ := os.ReadFile("/proc/" + strconv.Itoa(p.PID) + "/comm")
		if strings.HasPrefix(string(comm), "qemu") || strings.HasPrefix(string(comm), "cloud-hyp") {
			if err := p.Signal(syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("no VMM that could be frozen among %v", holders)
}

func TestFrozenGuestIsHalted(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	create(t, s, spec("one", drivertest.Shell(driver.ModeService, "sleep 1000")))
	start(t, s, "one")
	freeze(t, s, "one")
	stopped, err := s.Stop(t.Context(), "one", driver.StopOptions{Grace: time.Second})
	if err != nil || !stopped.Forced {
		t.Errorf("Stop: %+v, %v", stopped, err)
	}
	if !free(t, s, "one")() {
		t.Error("a lease is left")
	}
}

// TestGuestFrozenInTheMiddleOfItsOutputs is killed although the run is over and waits for the output's end only.
func TestGuestFrozenInTheMiddleOfItsOutputs(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	ws := spec("one", drivertest.Shell(driver.ModeTask, "dd if=/dev/zero of=/out bs=1M count=24"))
	ws.Outputs = []driver.Output{{Name: "out", Path: "/out"}}
	create(t, s, ws)
	start(t, s, "one")
	eventually(t, "the output is fetched", func() bool {
		entries, err := os.ReadDir(s.State.Workspace("one").Outputs())
		return err == nil && len(entries) > 0
	})
	freeze(t, s, "one")
	if _, err := s.Stop(t.Context(), "one", driver.StopOptions{Force: true}); err != nil {
		t.Error(err)
	}
	if !free(t, s, "one")() {
		t.Error("a lease is left")
	}
	run, err := s.Wait(t.Context(), "one")
	if err != nil || run.Phase.Alive() {
		t.Errorf("run: %+v, %v", run, err)
	}
}
