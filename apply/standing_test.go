package apply

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"microagent/runtime/driver"
	"microagent/runtime/drivertest"
	"microagent/runtime/event"
)

// endsAtOnce has services that end as soon as they were started.
type endsAtOnce struct {
	driver.Runs
	fake *drivertest.FakeWorkspaces
}

func (e endsAtOnce) Start(ctx context.Context, name string, o driver.StartOptions) (driver.Run, error) {
	run, err := e.Runs.Start(ctx, name, o)
	if err == nil && strings.HasSuffix(name, "web") {
		e.fake.Finish(name, 3)
	}
	return run, err
}

// TestAFailureSaysWhatWasDone: a change that fails half-way names what of it stays, in its result and in its event.
func TestAFailureSaysWhatWasDone(t *testing.T) {
	b := newBench(t)
	b.write("microagent.yaml", "project: demo\nworkspaces:\n  web: {image: example.org/base:1, service: [sh, -c, 'sleep 1000']}\n")
	whole := b.drivers.Runs
	b.drivers.Runs = endsAtOnce{whole, b.workspaces}
	events := &collected{}
	res, err := Run(t.Context(), b.drivers, b.plan(), b.files, Options{Events: events})
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Failed) != 1 || !slices.Equal(res.Failed[0].Did, []string{"created", "started"}) || !res.Changed() || len(res.Done) != 1 {
		t.Fatalf("%+v, done %v", res.Failed, res.Done)
	}
	ended, ok := errors.AsType[*ServiceError](res.Failed[0].Err)
	if !ok || ended.ExitCode == nil || *ended.ExitCode != 3 {
		t.Errorf("%v", res.Failed[0].Err)
	}
	at := slices.IndexFunc(events.all, func(e event.Event) bool { return e.Type == event.TypeFailed })
	if at < 0 || !slices.Equal(events.all[at].Did, []string{"created", "started"}) || events.all[at].Error != res.Failed[0].Err.Error() {
		t.Errorf("%+v", events.all)
	}

	// a start that fails has created it all the same, and one that another command began has done nothing
	b = newBench(t)
	b.write("microagent.yaml", "project: demo\nworkspaces:\n  web: {image: example.org/base:1, ready: {port: 80}}\n")
	b.workspaces.Fail = func(op, _ string) error {
		if op == "start" {
			return &driver.Error{Class: driver.ErrBusy, Op: "start workspace", Object: "demo.web"}
		}
		return nil
	}
	if res := b.apply(t.Context(), b.plan()); len(res.Failed) != 1 || !slices.Equal(res.Failed[0].Did, []string{"created"}) || !errors.Is(res.Failed[0].Err, driver.ErrBusy) {
		t.Errorf("%+v", res.Failed)
	}
	b.workspaces.Fail = nil
	b.workspaces.Probes("demo.web", &driver.Readiness{Probe: "port 80", State: driver.ReadyNever})
	if _, err := b.drivers.Runs.Start(t.Context(), "demo.web", driver.StartOptions{}); err != nil {
		t.Fatal(err)
	}
	if res := b.apply(t.Context(), b.plan()); len(res.Failed) != 1 || res.Failed[0].Did != nil || res.Changed() {
		t.Errorf("%+v", res.Failed)
	}
}

// TestAServiceThatWasHalted while it was watched did not end by itself.
func TestAServiceThatWasHalted(t *testing.T) {
	b := newBench(t)
	b.write("microagent.yaml", "project: demo\nworkspaces:\n  web: {image: example.org/base:1, service: [sh, -c, 'sleep 1000'], desired: stopped}\n")
	b.mustApply()
	run, err := b.drivers.Runs.Start(t.Context(), "demo.web", driver.StartOptions{})
	if err != nil {
		t.Fatal(err)
	}
	started := Started{Name: "demo.web", Mode: driver.ModeService, Run: run}
	if _, err := b.drivers.Runs.Stop(t.Context(), "demo.web", driver.StopOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := started.AwaitStanding(t.Context(), b.drivers); err == nil || !strings.HasSuffix(err.Error(), "it ended at once: another command stopped it") {
		t.Error(err)
	}
	started.Mode = driver.ModeIdle
	if err := started.AwaitStanding(t.Context(), b.drivers); err != nil {
		t.Errorf("what has no service: %v", err)
	}
}
