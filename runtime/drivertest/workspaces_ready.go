package drivertest

import (
	"context"

	"microagent/runtime/driver"
)

// Probes makes what the probe of a workspace says from its next start on; nil is that it passes at once.
func (f *FakeWorkspaces) Probes(name string, says *driver.Readiness) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.probes == nil {
		f.probes = map[string]*driver.Readiness{}
	}
	f.probes[name] = says
}

// readiness is how a run of w stands from its start.
func (f *FakeWorkspaces) readiness(w *fakeWorkspace) *driver.Readiness {
	if w.Spec.Ready == nil {
		return nil
	}
	if says := f.probes[w.Spec.Name]; says != nil {
		return says
	}
	return &driver.Readiness{Probe: w.Spec.Ready.Probe(), State: driver.ReadyYes, Since: f.clock()}
}

// AwaitReady gives the run when its probe has decided, and one that never does when ctx ends.
func (f *FakeWorkspaces) AwaitReady(ctx context.Context, name string) (driver.Run, error) {
	if err := f.call("await", name); err != nil {
		return driver.Run{}, err
	}
	f.mu.Lock()
	w, err := f.running(driver.OpAwaitReady, name)
	if err != nil {
		f.mu.Unlock()
		return driver.Run{}, err
	}
	run, mode := *w.Run, w.Spec.Process.Mode
	f.mu.Unlock()
	if run.Readiness != nil && !run.Readiness.Decided() {
		<-ctx.Done()
		return run, ctx.Err()
	}
	return run, run.NotReady(name, mode)
}

// NoteLossShown has nothing to note: no run of these is lost.
func (f *FakeWorkspaces) NoteLossShown(context.Context, string, string) error { return nil }

// Current gives the run of a running workspace.
func (f *FakeWorkspaces) Current(_ context.Context, name string) (driver.Run, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w, err := f.running("show workspace", name)
	if err != nil {
		return driver.Run{}, err
	}
	return *w.Run, nil
}
