package qemu

import (
	"os"
	"os/exec"
	"testing"

	"microagent/ch/chtest"
)

// TestConformance runs the suite that cloud-hypervisor passes against the adapter.
func TestConformance(t *testing.T) {
	if _, err := Find(t.Context()); err != nil {
		t.Skip(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	chtest.Run(t, chtest.Server{
		Name: "adapter",
		Command: func(args ...string) *exec.Cmd {
			c := exec.Command(self, args...)
			c.Env = append(os.Environ(), "MICROAGENT_TEST_ADAPTER=1")
			return c
		},
		Guest: chtest.PrepareGuest(t, t.TempDir()),
	})
}

// TestCloudHypervisor runs the same suite against the real program, where there is one and KVM works.
func TestCloudHypervisor(t *testing.T) {
	binary := os.Getenv("MICROAGENT_CLOUD_HYPERVISOR")
	if binary == "" {
		var err error
		if binary, err = exec.LookPath("cloud-hypervisor"); err != nil {
			t.Skip("no cloud-hypervisor on PATH or in MICROAGENT_CLOUD_HYPERVISOR")
		}
	}
	if err := KVMWorks(); err != nil {
		t.Skipf("KVM does not work here: %v", err)
	}
	chtest.Run(t, chtest.Server{
		Name:    "cloud-hypervisor",
		Command: func(args ...string) *exec.Cmd { return exec.Command(binary, args...) },
		Guest:   chtest.PrepareGuest(t, t.TempDir()),
	})
}
