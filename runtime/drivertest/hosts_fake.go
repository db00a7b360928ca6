package drivertest

import (
	"context"

	"microagent/runtime/driver"
	"microagent/schema/spec"
)

// FakeHosts is driver.Hosts and driver.Doctor in memory: it says what it was told.
type FakeHosts struct {
	Host     driver.Host
	Err      error
	Findings []driver.Finding
	Taken    []spec.Port
}

var (
	_ driver.Hosts  = (*FakeHosts)(nil)
	_ driver.Doctor = (*FakeHosts)(nil)
)

// NewFakeHosts is a host that can start workspaces under emulation.
func NewFakeHosts() *FakeHosts {
	return &FakeHosts{Host: driver.Host{
		VMM: "qemu 7.2.22 (tcg)", Why: "there is no /dev/kvm", Kernel: "6.1.0-56-cloud-amd64",
		CPUs: 2, Memory: 8 << 30, DiskFree: 64 << 30,
	}}
}

// Observe gives Host or Err; without vmm the room of Host alone.
func (f *FakeHosts) Observe(_ context.Context, vmm bool) (driver.Host, error) {
	if vmm {
		return f.Host, f.Err
	}
	return driver.Host{CPUs: f.Host.CPUs, Memory: f.Host.Memory, DiskFree: f.Host.DiskFree}, f.Err
}

// Servers gives Taken.
func (f *FakeHosts) Servers(context.Context) ([]spec.Port, error) { return f.Taken, nil }

// Diagnose gives Findings.
func (f *FakeHosts) Diagnose(context.Context) []driver.Finding { return f.Findings }
