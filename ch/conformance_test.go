package ch_test

import (
	"os"
	"os/exec"
	"testing"

	"microagent/ch/chtest"
	"microagent/runtime/qemu"
)

// TestCloudHypervisor runs the conformance suite against the real program, where there is one and KVM works.
func TestCloudHypervisor(t *testing.T) {
	binary := os.Getenv("MICROAGENT_CLOUD_HYPERVISOR")
	if binary == "" {
		var err error
		if binary, err = exec.LookPath("cloud-hypervisor"); err != nil {
			t.Skip("no cloud-hypervisor on PATH or in MICROAGENT_CLOUD_HYPERVISOR")
		}
	}
	if err := qemu.KVMWorks(); err != nil {
		t.Skipf("KVM does not work here: %v", err)
	}
	chtest.Run(t, chtest.Server{
		Name:    "cloud-hypervisor",
		Command: func(args ...string) *exec.Cmd { return exec.Command(binary, args...) },
		Guest:   chtest.PrepareGuest(t, t.TempDir()),
	})
}
