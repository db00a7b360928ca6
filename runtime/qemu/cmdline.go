package qemu

import (
	"fmt"
	"strings"
)

// Emulated gives the CPU that a guest has under emulation, as QEMU's -cpu takes it, and its kernel's command line, for who
// measures or tests guests without an adapter.
func Emulated(cmdline string, vcpus uint32) (cpu, arguments string) {
	return emulatedCPU, kernelArguments(cmdline, TCG, vcpus, 0)
}

// kernelArguments adds to a command line what a guest of this accelerator needs beside what the client wrote.
// The client's own words win. Under KVM nothing is added: no_timer_check hangs a guest there. mitigations=off is for the
// page tables that a kernel changes at each system call to keep Meltdown out: that empties the emulator's translation
// buffer, and getppid took 28 us where it takes 0.5 us without. init_on_alloc=0: a kernel that zeroes all that it allocates
// for itself takes a sixth longer to send by its network. No boundary goes with either that emulation had.
func kernelArguments(cmdline string, accel Accel, vcpus uint32, khz uint64) string {
	if accel != TCG {
		return cmdline
	}
	words := strings.Fields(cmdline)
	given := map[string]bool{}
	for _, w := range words {
		name, _, _ := strings.Cut(w, "=")
		given[name] = true
	}
	extra := []string{"no_timer_check", "cryptomgr.notests", "random.trust_cpu=on", "tsc=reliable", "mitigations=off", "init_on_alloc=0"}
	if khz > 0 {
		extra = append(extra, fmt.Sprintf("tsc_early_khz=%d", khz))
	}
	if vcpus == 1 {
		extra = append(extra, "noreplace-smp", "nolapic_timer")
	}
	for _, w := range extra {
		name, _, _ := strings.Cut(w, "=")
		if !given[name] {
			words = append(words, w)
		}
	}
	return strings.Join(words, " ")
}
