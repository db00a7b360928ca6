package machine

import (
	"context"
	"errors"
	"fmt"

	"microagent/ch"
	"microagent/runtime/driver"
	"microagent/schema/spec"
)

// mostGrowths is how often memory can come to a VM of cloud-hypervisor (vmm/src/memory_manager.rs, HOTPLUG_COUNT).
const mostGrowths = 8

// resizes says whether the VMM changes the CPUs and the memory of a VM that runs.
func (c Choice) resizes() bool { return c.Kind == CloudHypervisor }

// size is what the VM has of CPUs and memory, and may get.
func (s Spec) size() (*ch.CpusConfig, *ch.MemoryConfig) {
	cpus := &ch.CpusConfig{BootVcpus: uint32(s.CPUs), MaxVcpus: uint32(s.maxCPUs())}
	memory := &ch.MemoryConfig{Size: uint64(s.Memory)}
	if more := s.maxMemory() - s.Memory; more > 0 {
		memory.HotplugSize = new(uint64(more))
	}
	return cpus, memory
}

func (s Spec) maxCPUs() int {
	if s.Choice.resizes() {
		return max(s.CPUs, s.MaxCPUs)
	}
	return s.CPUs
}

func (s Spec) maxMemory() int64 {
	if more := s.MaxMemory - s.Memory; more > 0 && s.Choice.resizes() {
		return s.Memory + more/spec.MemoryStep*spec.MemoryStep
	}
	return s.Memory
}

// Look asks the VMM what its VM has: of the disks it gives the files, by serial. One call of Look or Resize comes after the other.
func (vm *VM) Look(ctx context.Context) (spec.VM, map[string]string, error) {
	info, err := vm.client.Info(ctx)
	if err != nil {
		return spec.VM{}, nil, vm.vmmError(ctx, "look at VM", err)
	}
	c := info.Config
	if c.Cpus == nil || c.Memory == nil {
		return spec.VM{}, nil, vm.vmmError(ctx, "look at VM", errors.New("vm.info tells of no CPUs, or of no memory"))
	}
	has := spec.VM{CPUs: int(c.Cpus.BootVcpus), Memory: int64(c.Memory.Size), Paused: ch.State(info.State) == ch.Paused}
	if vm.spec.Choice.resizes() {
		has.MaxCPUs, has.MaxMemory, has.Grows = vm.spec.maxCPUs(), vm.spec.maxMemory(), mostGrowths-vm.grown
	} else {
		has.Fixed = "under " + vm.spec.Choice.Name + " a guest keeps what it started with"
	}
	disks := map[string]string{}
	for _, d := range c.Disks {
		if d.Id != nil {
			disks[*d.Id] = valueOf(d.Path)
		}
	}
	return has, disks, nil
}

func valueOf(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// Resize gives the VM so many CPUs and so many bytes of memory, which its guest then takes into use or, of CPUs that go, gives back.
// ErrUnsupported says that it can't while it runs, and that nothing was changed.
func (vm *VM) Resize(ctx context.Context, cpus int, memory int64) error {
	const op = "resize VM"
	has, _, err := vm.Look(ctx)
	if err != nil {
		return err
	}
	for _, no := range []struct{ what, why string }{
		{fmt.Sprintf("%d CPUs", cpus), has.CPUsStay(cpus)}, {fmt.Sprintf("%d MiB of memory", memory>>20), has.MemoryStays(memory)},
	} {
		if no.why != "" {
			return &driver.Error{Class: driver.ErrUnsupported, Op: op + " of workspace", Object: vm.spec.Name,
				Err: fmt.Errorf("it can't have %s while it runs: %s", no.what, no.why), Next: "microagent restart " + vm.spec.Name}
		}
	}
	if cpus != has.CPUs {
		if err := vm.client.Resize(ctx, ch.VmResize{DesiredVcpus: new(uint32(cpus))}); err != nil {
			return vm.vmmError(ctx, op, err)
		}
	}
	if memory != has.Memory {
		if err := vm.client.Resize(ctx, ch.VmResize{DesiredRam: new(uint64(memory))}); err != nil {
			return vm.vmmError(ctx, op, err)
		}
		vm.grown++
	}
	return nil
}

// Plugged says whether a VM with so many bytes of memory got some of it while it ran.
func (vm *VM) Plugged(memory int64) bool { return memory > vm.spec.Memory }
