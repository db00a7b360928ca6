package driver

import "context"

// Host is what would run a workspace here.
type Host struct {
	VMM      string    // "cloud-hypervisor v53.0.0", "qemu 7.2.22 (tcg)"; "" when there is none
	Hardware bool      // isolated by hardware virtualisation
	Why      string    // why not the better one
	Kernel   string    // release of the kernel that would boot; "" when none is installed
	Missing  []Finding // what a start would stop at
	CPUs     int
	Memory   int64 // available
	DiskFree int64 // of the state directory's file system
}

// Hosts looks at the host. It starts nothing but `VMM --version`.
type Hosts interface {
	Observe(ctx context.Context) (Host, error)
}
