package machine

import (
	"testing"

	"microagent/schema/spec"
)

// TestRoomToGrow: cloud-hypervisor is told at the start what may come later, in whole steps; the adapter is not, which refuses it.
func TestRoomToGrow(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		kind          string
		cpus, maxCPUs int
		memory, most  int64
		wantMost      uint32
		wantRoom      uint64
	}{
		{CloudHypervisor, 1, 4, 256 * mib, 1024 * mib, 4, 768 * mib},
		{CloudHypervisor, 2, 0, 256 * mib, 0, 2, 0},
		{CloudHypervisor, 4, 2, 512 * mib, 256 * mib, 4, 0},
		{CloudHypervisor, 1, 1, 192 * mib, 512 * mib, 1, 256 * mib},
		{CloudHypervisor, 1, 1, 256 * mib, 300 * mib, 1, 0},
		{QEMU, 1, 4, 256 * mib, 1024 * mib, 1, 0},
	} {
		s := Spec{Choice: Choice{Kind: c.kind}, CPUs: c.cpus, MaxCPUs: c.maxCPUs, Memory: c.memory, MaxMemory: c.most}
		got := s.config()
		var room uint64
		if got.Memory.HotplugSize != nil {
			room = *got.Memory.HotplugSize
		}
		if got.Cpus.BootVcpus != uint32(c.cpus) || got.Cpus.MaxVcpus != c.wantMost || got.Memory.Size != uint64(c.memory) || room != c.wantRoom {
			t.Errorf("%+v: %d CPUs of %d, memory %d and %d", c, got.Cpus.BootVcpus, got.Cpus.MaxVcpus, got.Memory.Size, room)
		}
	}
}

// TestGrowthThatFits: memory that comes in one step is what is allowed of it, whatever the guest began with.
func TestGrowthThatFits(t *testing.T) {
	vm := spec.VM{CPUs: 1, Memory: 192 << 20, MaxCPUs: 2, MaxMemory: 448 << 20, Grows: 1}
	for n, can := range map[int64]bool{192: true, 320: true, 448: true, 256: false, 128: false, 576: false} {
		if why := vm.MemoryStays(n << 20); (why == "") != can {
			t.Errorf("%d MiB: %q", n, why)
		}
	}
	for n, can := range map[int]bool{1: true, 2: true, 3: false} {
		if why := vm.CPUsStay(n); (why == "") != can {
			t.Errorf("%d CPUs: %q", n, why)
		}
	}
}
