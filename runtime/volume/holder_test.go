package volume_test

import (
	"testing"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/runtime/lease"
	"microagent/runtime/volume"
)

// TestForgetHolder: of two that read a volume, the one that gives it back first does not take the other's note away.
func TestForgetHolder(t *testing.T) {
	state := layout.State{Dir: t.TempDir()}
	if err := state.Prepare("test"); err != nil {
		t.Fatal(err)
	}
	one, two := lease.Process{PID: 1, BootID: "b", Start: 1}, lease.Process{PID: 2, BootID: "b", Start: 2}
	if err := volume.WriteHolder(state, "data", driver.Holder{Workspace: "two", PID: two.PID, BootID: two.BootID, Start: two.Start, ReadOnly: true}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		self lease.Process
		left bool
	}{{one, true}, {two, false}, {two, false}} {
		if err := volume.ForgetHolder(state, "data", c.self); err != nil {
			t.Fatal(err)
		}
		if h, _ := volume.ReadHolder(state, "data"); (h != nil) != c.left {
			t.Errorf("after %d: %+v", c.self.PID, h)
		}
	}
}
