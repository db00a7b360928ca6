package drivertest

import (
	"context"
	"errors"

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
