package workspace

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/drivertest"
	"microagent/runtime/layout"
	"microagent/runtime/lease"
)

// eventually waits for a condition that no call waits for.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func free(t *testing.T, s *Store, name string) func() bool {
	return func() bool {
		held, _, err := lease.Probe(s.State.Workspace(name).RootFS())
		if err != nil {
			t.Fatal(err)
		}
		return !held
	}
}

func TestKilledSupervisorIsLostAndStartsAgain(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	create(t, s, spec("one", idle))
	run := start(t, s, "one")
	sh(t, s, "one", "echo kept > /kept; sync")
	waited := make(chan driver.Run, 1)
	go func() {
		run, err := s.Wait(context.Background(), "one")
		if err != nil {
			t.Error(err)
		}
		waited <- run
	}()
	if err := syscall.Kill(run.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if lost := <-waited; lost.Phase != driver.PhaseLost || lost.ID != run.ID {
		t.Errorf("Wait: %+v", lost)
	}
	eventually(t, "the VMM dies with its supervisor", free(t, s, "one"))
	w, err := s.Get(t.Context(), "one")
	if err != nil || w.Run.Phase != driver.PhaseLost {
		t.Errorf("Get: %+v, %v", w.Run, err)
	}
	if again := start(t, s, "one"); again.ID == run.ID {
		t.Error("the lost run was taken for a running one")
	}
	if got := sh(t, s, "one", "cat /kept"); got != "kept\n" {
		t.Errorf("after the crash the file holds %q", got)
	}
}

func TestKilledVMMFailsTheRun(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	create(t, s, spec("one", drivertest.Shell(driver.ModeTask, "sleep 1000")))
	run := start(t, s, "one")
	left, err := lease.Inheritors(s.State.Workspace("one").RootFS())
	if err != nil || len(left) < 2 {
		t.Fatalf("holders of the root file system: %v, %v", left, err)
	}
	for _, p := range left {
		if p.PID == run.PID {
			continue
		}
		if err := p.Kill(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	end, err := s.Wait(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	if end.Phase != driver.PhaseFailed || end.Error == "" || end.ExitCode != nil {
		t.Errorf("run: %+v", end)
	}
	if !free(t, s, "one")() {
		t.Error("a lease is left")
	}
}

func TestPanickingGuestShowsItsConsole(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	create(t, s, spec("one", drivertest.Shell(driver.ModeTask, "echo c > /proc/sysrq-trigger; sleep 1000")))
	start(t, s, "one")
	end, err := s.Wait(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	if end.Phase != driver.PhaseFailed || !strings.Contains(end.Error, "kernel panic: sysrq triggered crash") ||
		!strings.Contains(strings.Join(end.Console, "\n"), "Kernel panic - not syncing") {
		t.Errorf("run: %+v", end)
	}
}

func TestRebootingServiceComesBackAndTaskFails(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	create(t, s, spec("task", drivertest.Shell(driver.ModeTask, "reboot -f; sleep 1000")))
	create(t, s, spec("service", drivertest.Shell(driver.ModeService, "echo boot >> /boots; sync; echo synced > /run/synced; sleep 1000")))
	start(t, s, "task")
	end, err := s.Wait(t.Context(), "task")
	if err != nil || end.Phase != driver.PhaseFailed || !strings.Contains(end.Error, "reboot") {
		t.Errorf("task: %+v, %v", end, err)
	}
	start(t, s, "service")
	eventually(t, "the first boot is on disk", func() bool {
		code, err := s.Exec(t.Context(), "service", driver.ExecSpec{Argv: []string{"cat", "/run/synced"}}, driver.Streams{})
		return err == nil && code == 0
	})
	// The reboot takes the connection of the exec away.
	_, _ = s.Exec(t.Context(), "service", driver.ExecSpec{Argv: []string{"reboot", "-f"}}, driver.Streams{})
	var out strings.Builder
	eventually(t, "the service runs again", func() bool {
		out.Reset()
		_, err := s.Exec(t.Context(), "service", driver.ExecSpec{Argv: []string{"cat", "/boots"}}, driver.Streams{Stdout: &out})
		return err == nil && out.String() == "boot\nboot\n"
	})
}

func TestTwoStartsMakeOneRun(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	create(t, s, spec("one", idle))
	ids := make([]string, 4)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			run, err := s.Start(t.Context(), "one", driver.StartOptions{})
			if err != nil {
				t.Error(err)
			}
			ids[i] = run.ID
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Errorf("runs %v", ids)
		}
	}
}

func TestVolumeHasOneWriterAndSurvives(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	v := volumes(s)
	data, _, err := v.Create(t.Context(), driver.VolumeSpec{Name: "data", Size: 16 * mib})
	if err != nil {
		t.Fatal(err)
	}
	mounts := []driver.Mount{{Path: "/data", Kind: driver.MountVolume, Name: "data", Source: data.ID}}
	for _, name := range []string{"one", "two"} {
		ws := spec(name, idle)
		ws.Mounts = mounts
		create(t, s, ws)
	}
	start(t, s, "one")
	sh(t, s, "one", "echo 42 > /data/count")
	_, err = s.Start(t.Context(), "two", driver.StartOptions{})
	if !errors.Is(err, driver.ErrBusy) || !strings.Contains(err.Error(), "workspace one") || driver.Next(err) != "microagent halt one" {
		t.Errorf("second attach: %v (%s)", err, driver.Next(err))
	}
	if err := v.Delete(t.Context(), "data"); !errors.Is(err, driver.ErrBusy) {
		t.Errorf("delete while attached: %v", err)
	}
	if _, err := v.Grow(t.Context(), "data", 32*mib, driver.ByCommand); err != nil {
		t.Errorf("grow while attached: %v", err)
	}
	if got := sh(t, s, "one", "df -m /data | head -n 2"); !strings.Contains(got, " 2") {
		t.Errorf("after growing: %s", got)
	}
	if _, err := s.Stop(t.Context(), "one", driver.StopOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	start(t, s, "two")
	if got := sh(t, s, "two", "cat /data/count"); got != "42\n" {
		t.Errorf("the volume holds %q", got)
	}
	if _, err := s.Stop(t.Context(), "two", driver.StopOptions{}); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("e2fsck", "-fn", data.Path).CombinedOutput()
	if err != nil {
		t.Errorf("e2fsck: %v\n%s", err, out)
	}
	if err := v.Delete(t.Context(), "data"); err != nil {
		t.Fatal(err)
	}
	_, err = s.Start(t.Context(), "two", driver.StartOptions{})
	if !errors.Is(err, driver.ErrNotFound) {
		t.Errorf("start without the volume: %v", err)
	}
}

func TestDirtyJournalIsReplayedBeforeAReadOnlyAttach(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	v := volumes(s)
	if _, _, err := v.Create(t.Context(), driver.VolumeSpec{Name: "data", Size: 16 * mib}); err != nil {
		t.Fatal(err)
	}
	ws := spec("one", idle)
	ws.Mounts = []driver.Mount{{Path: "/data", Kind: driver.MountVolume, Name: "data"}}
	create(t, s, ws)
	start(t, s, "one")
	sh(t, s, "one", "echo 42 > /data/count; sync")
	if _, err := s.Stop(t.Context(), "one", driver.StopOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	ws.Mounts[0].ReadOnly = true
	if _, err := s.Update(t.Context(), ws); err != nil {
		t.Fatal(err)
	}
	start(t, s, "one")
	if got := sh(t, s, "one", "cat /data/count"); got != "42\n" {
		t.Errorf("the replayed volume holds %q", got)
	}
}

func TestStopWhileTheGuestBoots(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	create(t, s, spec("one", idle))
	started := make(chan error, 1)
	go func() {
		_, err := s.Start(t.Context(), "one", driver.StartOptions{})
		started <- err
	}()
	eventually(t, "the run is starting", func() bool {
		w, err := s.Get(t.Context(), "one")
		return err == nil && w.Run != nil
	})
	stopped, err := s.Stop(t.Context(), "one", driver.StopOptions{})
	if err != nil || !stopped.Was {
		t.Errorf("Stop: %+v, %v", stopped, err)
	}
	<-started
	w, err := s.Get(t.Context(), "one")
	if err != nil || w.Run.Phase != driver.PhaseFinished || !w.Run.Stopped || w.Run.Ready != nil {
		t.Errorf("run: %+v, %v", w.Run, err)
	}
}

func TestStubbornTaskIsKilledAfterItsGrace(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	ws := spec("one", driver.Process{Mode: driver.ModeTask, StopSignal: "SIGTERM", Argv: []string{"sh", "-c", "trap '' TERM; echo hello > /out; while true; do sleep 1; done"}})
	ws.Outputs = []driver.Output{{Name: "out", Path: "/out"}}
	create(t, s, ws)
	start(t, s, "one")
	eventually(t, "the task writes", func() bool {
		var out strings.Builder
		_, err := s.Exec(t.Context(), "one", driver.ExecSpec{Argv: []string{"cat", "/out"}}, driver.Streams{Stdout: &out})
		return err == nil && out.String() == "hello\n"
	})
	stopped, err := s.Stop(t.Context(), "one", driver.StopOptions{Grace: time.Second})
	if err != nil || !stopped.Forced {
		t.Errorf("Stop: %+v, %v", stopped, err)
	}
	run, err := s.Wait(t.Context(), "one")
	if err != nil || !run.Stopped || run.ExitCode == nil || *run.ExitCode != 137 || len(run.Collected) != 1 || run.Collected[0].Error != "" {
		t.Errorf("run: %+v, %v", run, err)
	}
}

func TestDeepStateDirectoryAndFollowedLogs(t *testing.T) {
	t.Parallel()
	deep := filepath.Join(t.TempDir(), strings.Repeat("deep-folder/", 20))
	s := open(t, deep)
	create(t, s, spec("one", drivertest.Shell(driver.ModeTask, "echo one; echo two >&2; sleep 1; echo three")))
	start(t, s, "one")
	var out, errs strings.Builder
	if err := s.Logs(t.Context(), "one", driver.LogOptions{Follow: true}, &out, &errs); err != nil {
		t.Fatal(err)
	}
	if out.String() != "one\nthree\n" || errs.String() != "two\n" {
		t.Errorf("followed: %q and %q", out.String(), errs.String())
	}
	if _, err := s.Wait(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	if err := s.Logs(t.Context(), "one", driver.LogOptions{Stream: "stdout", Tail: new(1)}, &out, &errs); err != nil || out.String() != "three\n" {
		t.Errorf("tail: %q, %v", out.String(), err)
	}
	out.Reset()
	if err := s.Logs(t.Context(), "one", driver.LogOptions{Stream: "console"}, &out, &errs); err != nil || !strings.Contains(out.String(), "agent ready") {
		t.Errorf("console: %q, %v", out.String(), err)
	}
}

func TestNothingOfTheEnvironmentLeaks(t *testing.T) {
	t.Parallel()
	const secret = "canary-7d1f2c"
	s := open(t, t.TempDir())
	p := drivertest.Shell(driver.ModeService, "sleep 1000")
	p.Env = map[string]string{"TOKEN": secret}
	create(t, s, spec("one", p))
	run := start(t, s, "one")
	if got := sh(t, s, "one", "echo $TOKEN"); got != secret+"\n" {
		t.Errorf("the process has TOKEN=%q", got)
	}
	left, err := lease.Inheritors(s.State.Workspace("one").RootFS())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range left {
		for _, file := range []string{"cmdline", "environ"} {
			data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.PID), file))
			if err == nil && strings.Contains(string(data), secret) {
				t.Errorf("%s of process %d (supervisor %d) holds the secret", file, p.PID, run.PID)
			}
		}
	}
	folder := s.State.Workspace("one")
	entries, err := os.ReadDir(folder.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || e.Name() == layout.RootFSFile {
			continue
		}
		data, err := os.ReadFile(folder.File(e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(data), secret) && (e.Name() != layout.RecordFile || info.Mode().Perm() != 0o600) {
			t.Errorf("%s (%v) holds the secret", e.Name(), info.Mode())
		}
	}
}
