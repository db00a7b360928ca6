package apply

import (
	"errors"
	"strings"
	"testing"
	"time"

	"microagent/runtime/driver"
)

// TestApplyWaitsUntilReady: what is not ready fails its apply with the probe's last words and goes on, a time that is
// given ends the wait, --no-wait waits for nothing, and the next apply waits for what is not ready yet.
func TestApplyWaitsUntilReady(t *testing.T) {
	never := &driver.Readiness{Probe: "port 80", State: driver.ReadyNever, Words: "nothing listens on port 80"}
	waiting := &driver.Readiness{Probe: "port 80", State: driver.ReadyWaiting, Words: "nothing listens on port 80"}
	for name, c := range map[string]struct {
		probe   *driver.Readiness
		options Options
		fails   string
		class   error
		time    bool
		next    string // what the next plan does
	}{
		"ready":          {},
		"never":          {probe: never, fails: "it did not become ready: port 80: nothing listens on port 80", class: driver.ErrGuest, next: "wait workspace/web"},
		"too late":       {probe: waiting, options: Options{WaitTimeout: time.Millisecond}, fails: "it is not ready after 1ms, and goes on: port 80: nothing listens on port 80", class: driver.ErrTimeout, time: true, next: "wait workspace/web"},
		"not waited for": {probe: waiting, options: Options{NoWait: true}, next: "wait workspace/web"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.write("microagent.yaml", "project: demo\nworkspaces:\n  web: {image: example.org/base:1, ready: {port: 80}}\n")
			b.workspaces.Probes("demo.web", c.probe)
			res, err := Run(t.Context(), b.drivers, b.plan(), b.files, c.options)
			if err != nil {
				t.Fatal(err)
			}
			ws, err := b.workspaces.Get(t.Context(), "demo.web")
			if err != nil || ws.Run == nil || !ws.Run.Phase.Alive() {
				t.Errorf("it does not run: %+v, %v", ws.Run, err)
			}
			if c.fails == "" && len(res.Failed) > 0 {
				t.Errorf("%v", res.Failed)
			}
			if c.fails != "" {
				if len(res.Failed) != 1 || !strings.Contains(res.Failed[0].Err.Error(), c.fails) || !errors.Is(res.Failed[0].Err, c.class) ||
					OutOfTime(res.Failed[0].Err) != c.time || driver.Next(res.Failed[0].Err) != "see what runs in it: microagent list --jobs demo.web" {
					t.Errorf("%+v", res.Failed)
				}
			}
			if got := strings.Join(does(b.plan()), ","); got != c.next {
				t.Errorf("the next plan does %q, not %q", got, c.next)
			}
		})
	}
}
