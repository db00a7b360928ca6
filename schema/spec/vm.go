package spec

import "fmt"

// VM is what a VMM says that the VM of a run has, and how far CPUs and memory change while it runs.
type VM struct {
	CPUs      int   `json:"cpus"`
	Memory    int64 `json:"memory"` // bytes
	MaxCPUs   int   `json:"max_cpus,omitempty"`
	MaxMemory int64 `json:"max_memory,omitempty"`
	Grows     int   `json:"grows,omitempty"` // so many times more memory can come
	// Fixed says why neither changes, "" where both do.
	Fixed  string `json:"fixed,omitempty"`
	Paused bool   `json:"paused,omitempty"`
	// Lacks are the guest's paths whose disks the VM has not; Foreign are files of disks that it has and was not given.
	Lacks   []string `json:"lacks,omitempty"`
	Foreign []string `json:"foreign,omitempty"`
}

// MemoryStep is what memory that comes while a guest runs is a multiple of, in bytes: Linux adds it in such sections on x86-64, and
// cloud-hypervisor accepts no other (vmm/src/memory_manager.rs, hotplug_ram_region).
const MemoryStep = 128 << 20

// CPUsStay says why the VM can't have n CPUs before it is started anew, "" where it can.
func (v *VM) CPUsStay(n int) string {
	switch {
	case n == v.CPUs:
		return ""
	case v.Fixed != "":
		return v.Fixed
	case n > v.MaxCPUs:
		return fmt.Sprintf("it was started for %d at most, see maxCpus", v.MaxCPUs)
	}
	return ""
}

// MemoryStays says why the VM can't have n bytes of memory before it is started anew, "" where it can.
func (v *VM) MemoryStays(n int64) string {
	switch {
	case n == v.Memory:
		return ""
	case v.Fixed != "":
		return v.Fixed
	case n < v.Memory:
		return "memory is not taken from a guest that runs"
	case n > v.MaxMemory:
		return fmt.Sprintf("it was started for %d MiB at most, see maxMemory", v.MaxMemory>>20)
	case (n-v.Memory)%MemoryStep != 0:
		return fmt.Sprintf("to a guest that runs it comes in steps of %d MiB", MemoryStep>>20)
	case v.Grows == 0:
		return "it came so often that no more can while the guest runs"
	}
	return ""
}
