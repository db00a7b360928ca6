package drivertest

import (
	"context"
	"errors"
	"maps"
	"testing"

	"microagent/runtime/driver"
	"microagent/schema/spec"
)

// firstFakePort is the number that the first automatic port gets.
const firstFakePort = 40000

// publish makes the run's ports those; one that was there keeps its number.
func (w *fakeWorkspace) publish(list []spec.Port) {
	had := map[spec.Port]spec.PortState{}
	next := uint16(firstFakePort)
	for _, p := range w.Run.Ports {
		had[p.Asked()] = p
		next = max(next, p.Host+1)
	}
	w.Run.Ports = nil
	for _, some := range list {
		if !some.Published() {
			continue
		}
		for _, one := range some.Each() {
			s, ok := had[one]
			if !ok {
				s.Port = one
				if one.Auto {
					s.Host = next
					next++
				}
			}
			w.Run.Ports = append(w.Run.Ports, s)
		}
	}
}

func (f *FakeWorkspaces) running(op, name string) (*fakeWorkspace, error) {
	w, err := f.get(op, name)
	if err == nil && !w.alive() {
		err = &driver.Error{Class: driver.ErrRefused, Op: op, Object: name, Err: errors.New("it does not run"), Next: "microagent start " + name}
	}
	return w, err
}

// Publish makes the ports of a running workspace those.
func (f *FakeWorkspaces) Publish(_ context.Context, name string, ports []spec.Port) error {
	if err := f.call("publish", name); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	w, err := f.running("publish ports of workspace", name)
	if err == nil {
		w.publish(ports)
	}
	return err
}

// Permit takes what it is given, of a workspace that runs with a network.
func (f *FakeWorkspaces) Permit(_ context.Context, name string, _ *spec.Network) error {
	const op = "change network of workspace"
	if err := f.call("permit", name); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	w, err := f.running(op, name)
	if err == nil && w.network == nil {
		err = &driver.Error{Class: driver.ErrRefused, Op: op, Object: name, Err: errors.New("it runs without a network"), Next: "microagent halt " + name}
	}
	return err
}

// SetEnv takes any environment, of a workspace that runs.
func (f *FakeWorkspaces) SetEnv(_ context.Context, name string, env map[string]string) error {
	if err := f.call("set environment", name); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	w, err := f.running("change environment of workspace", name)
	if err == nil {
		w.env = maps.Clone(env)
	}
	return err
}

// Mount takes any mounts, of a workspace that runs.
func (f *FakeWorkspaces) Mount(_ context.Context, name string, mounts []spec.Mount) error {
	const op = "change mounts of workspace"
	if err := f.call("mount", name); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	w, err := f.running(op, name)
	if err != nil {
		return err
	}
	return f.mount(w, mounts)
}

// Resize takes what the VM of a workspace that runs can have.
func (f *FakeWorkspaces) Resize(_ context.Context, name string, cpus int, memory int64) error {
	const op = "change CPUs and memory of workspace"
	if err := f.call("resize", name); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	w, err := f.running(op, name)
	if err != nil {
		return err
	}
	vm := *w.Run.Live.VM
	for _, why := range []string{vm.CPUsStay(cpus), vm.MemoryStays(memory)} {
		if why != "" {
			return &driver.Error{Class: driver.ErrUnsupported, Op: op, Object: name, Err: errors.New(why), Next: "microagent restart " + name}
		}
	}
	vm.CPUs, vm.Memory = cpus, memory
	w.live(w.Run.Live.Mounts, vm)
	return nil
}

// GrowRoot takes any size that is no smaller, of a workspace that runs.
func (f *FakeWorkspaces) GrowRoot(_ context.Context, name string, size int64) error {
	const op = "grow root file system of workspace"
	if err := f.call("grow root", name); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	w, err := f.running(op, name)
	if err == nil && size < w.root {
		err = &driver.Error{Class: driver.ErrRefused, Op: op, Object: name, Err: errors.New("it is larger")}
	}
	if err == nil {
		w.root = size
	}
	return err
}

// Denials are those that were put there.
func (f *FakeWorkspaces) Denials(_ context.Context, name string) ([]driver.Denial, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err := f.get("show what the network of workspace denied", name)
	return f.Denied[name], err
}

// Forward tells the numbers, and is interrupted at once.
func (f *FakeWorkspaces) Forward(_ context.Context, name string, ports []spec.Port, bound func([]spec.Port) error) error {
	f.mu.Lock()
	_, err := f.running("forward to workspace", name)
	f.mu.Unlock()
	if err != nil {
		return err
	}
	return bound(ports)
}

// Ports gives the published ones of a running workspace.
func (f *FakeWorkspaces) Ports(_ context.Context, name string) ([]spec.PortState, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w, err := f.running("show ports of workspace", name)
	if err != nil {
		return nil, err
	}
	return w.Run.Ports, nil
}

// workspacesPorts changes the ports of a run that publishes 80 of its workspace and 82 of its own, both automatic.
func workspacesPorts(t *testing.T, w WorkspacesUnder, run driver.Run) {
	number := func(list []spec.PortState, guest uint16) uint16 {
		for _, p := range list {
			if p.Guest == guest {
				return p.Host
			}
		}
		return 0
	}
	web := number(run.Ports, 80)
	if web == 0 || number(run.Ports, 82) == 0 || number(run.Ports, 81) != 0 || len(run.Ports) != 2 {
		t.Errorf("published at start: %+v", run.Ports)
	}
	must(t, w.Publish(t.Context(), "one", []spec.Port{{Name: "web", Guest: 80, Auto: true}, {Name: "more", Guest: 83, Count: 2, Auto: true}}))
	list, err := w.Ports(t.Context(), "one")
	must(t, err)
	if number(list, 80) != web || number(list, 83) == 0 || number(list, 84) == 0 {
		t.Errorf("after a change, with %d before: %+v", web, list)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	told := 0
	must(t, w.Forward(ctx, "one", []spec.Port{{Guest: 90, Auto: true}}, func(bound []spec.Port) error {
		if told++; len(bound) != 1 || bound[0].Guest != 90 {
			t.Errorf("forward: %+v", bound)
		}
		interrupt()
		return nil
	}))
	if told != 1 {
		t.Errorf("forward told its ports %d times", told)
	}
	must(t, w.Publish(t.Context(), "one", nil))
	list, err = w.Ports(t.Context(), "one")
	must(t, err)
	if number(list, 80) != 0 || number(list, 83) != 0 {
		t.Errorf("after all went: %+v", list)
	}
}
