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
