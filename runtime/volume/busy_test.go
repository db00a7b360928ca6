package volume

import (
	"errors"
	"strings"
	"testing"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/runtime/lease"
)

// TestBusyWithACommand says what to do where no workspace ever had the volume.
func TestBusyWithACommand(t *testing.T) {
	state := layout.State{Dir: t.TempDir()}
	if err := state.Prepare("test"); err != nil {
		t.Fatal(err)
	}
	err := Busy(state, "restore volume", "data", &lease.BusyError{Holders: []string{"microagent (pid 4711)"}})
	if !errors.Is(err, driver.ErrBusy) || driver.Next(err) != "try again when it is free" {
		t.Errorf("%v (%s)", err, driver.Next(err))
	}
}

// TestBusyDoesNotBlameTheDead finds the note of a workspace that is gone, while somebody new has the lease.
func TestBusyDoesNotBlameTheDead(t *testing.T) {
	state := layout.State{Dir: t.TempDir()}
	if err := state.Prepare("test"); err != nil {
		t.Fatal(err)
	}
	if err := WriteHolder(state, "data", driver.Holder{Workspace: "gone", PID: 1 << 30, BootID: "another"}); err != nil {
		t.Fatal(err)
	}
	for _, holders := range [][]string{{"workspace new (pid 4711)"}, nil} {
		err := Busy(state, "attach volume", "data", &lease.BusyError{Holders: holders})
		if !errors.Is(err, driver.ErrBusy) || driver.Next(err) == "" {
			t.Errorf("%v (%s)", err, driver.Next(err))
		}
		text := err.Error() + driver.Next(err)
		if blamed := strings.Contains(text, "gone"); blamed != (holders == nil) {
			t.Errorf("held by %v: %q", holders, text)
		}
	}
}
