package drivertest

import (
	"testing"

	"microagent/runtime/driver"
)

// workspacesReset gives one that ran a root file system without what was written to it, which is kept, and not one more for
// that, which was not used.
func workspacesReset(t *testing.T, w WorkspacesUnder) {
	spec := w.Spec(t, "one")
	spec.Process = driver.Process{Mode: driver.ModeIdle, StopSignal: "SIGTERM"}
	made, err := w.Create(t.Context(), spec, nil)
	must(t, err)
	start := func() {
		t.Helper()
		_, err := w.Start(t.Context(), "one", driver.StartOptions{})
		must(t, err)
	}
	there := func(file string) bool {
		t.Helper()
		code, err := w.Exec(t.Context(), "one", driver.ExecSpec{Argv: Shell(driver.ModeTask, "cat "+file).Argv}, driver.Streams{})
		must(t, err)
		return code == 0
	}
	start()
	code, err := w.Exec(t.Context(), "one", driver.ExecSpec{Argv: Shell(driver.ModeTask, "echo 1 > /mine").Argv}, driver.Streams{})
	must(t, err)
	if code != 0 || !there("/mine") {
		t.Fatalf("exec: code %d", code)
	}
	_, err = w.Reset(t.Context(), "one", spec.RootFS, false, nil)
	wantClass(t, err, driver.ErrBusy)
	_, err = w.Stop(t.Context(), "one", driver.StopOptions{Again: true})
	must(t, err)
	if got, err := w.Get(t.Context(), "one"); err != nil || !got.Again {
		t.Errorf("stopped to run again: %+v, %v", got, err)
	}
	reset, err := w.Reset(t.Context(), "one", spec.RootFS, false, nil)
	must(t, err)
	if reset.ID == made.ID || reset.RootFSMissing || !reset.Again || reset.Spec.ImageDigest != spec.ImageDigest {
		t.Errorf("reset: %+v", reset)
	}
	again, err := w.Reset(t.Context(), "one", spec.RootFS, false, nil)
	must(t, err)
	if again.ID != reset.ID {
		t.Errorf("reset of what was not used: %+v", again)
	}
	start()
	if there("/mine") {
		t.Error("what was written is there after a reset")
	}
	if got, err := w.Get(t.Context(), "one"); err != nil || got.Again {
		t.Errorf("started: %+v, %v", got, err)
	}
	_, err = w.Stop(t.Context(), "one", driver.StopOptions{Again: true})
	must(t, err)
	_, err = w.Stop(t.Context(), "one", driver.StopOptions{}) // it is to stay so
	must(t, err)
	back, err := w.Restore(t.Context(), "one")
	must(t, err)
	if back.ID != made.ID || back.Again {
		t.Errorf("restored: %+v", back)
	}
	start()
	if !there("/mine") {
		t.Error("what the reset kept lacks what was written")
	}
	_, err = w.Stop(t.Context(), "one", driver.StopOptions{})
	must(t, err)
	_, err = w.Reset(t.Context(), "one", spec.RootFS, true, nil) // and this is lost: restore brings what was kept before
	must(t, err)
	back, err = w.Restore(t.Context(), "one")
	must(t, err)
	if back.ID != reset.ID {
		t.Errorf("restored: %+v", back)
	}
}
