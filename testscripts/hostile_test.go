package testscripts

import (
	"testing"

	"microagent/testscripts/lane"
)

// TestHostile boots guests whose init is testscripts/hostileguest, and looks at what each of its kinds does to the
// commands, and at what they cost. Kinds that differ from another in little run with TESTS=all alone.
func TestHostile(t *testing.T) {
	payload := hostilePayload(t)
	for _, kind := range []struct {
		name string
		all  bool // with TESTS=all alone
		run  func(l *siege)
	}{
		{"hello", false, startThenHalt},
		{"end", false, ends},
	} {
		t.Run(kind.name, func(t *testing.T) {
			if kind.all && !lane.All() {
				t.Skip("with TESTS=all alone")
			}
			t.Parallel()
			kind.run(besiege(t, payload, kind.name))
		})
	}
}

// startThenHalt is of a guest that never comes up: start goes on until it is told to stop.
func startThenHalt(l *siege) {
	l.run("0", "create", "one", "--image", "oci-archive:hostile.tar", "--memory", "128MiB", "--disk-size", "32MiB")
	l.interrupt("130", 0, l.booted("one"), "start", "one")
	l.end()
}

// ends is of a guest that answers until it is to end.
func ends(l *siege) {
	l.begin("0")
	l.run("0", "logs", "--console", "one")
	l.end()
	// and by force, and as it runs
	l.begin("0")
	l.run("0", "halt", "--force", "one")
	l.run("0", "start", "one")
	l.gone("one")
}
