package spec

// Host is what would run a workspace on a host; of what starts none only the room is told.
type Host struct {
	VMM      string   `json:"vmm"`      // "cloud-hypervisor v53.0.0", "qemu 7.2.22 (tcg)"; "" when there is none
	Hardware bool     `json:"hardware"` // isolated by hardware virtualisation
	Why      string   `json:"why"`      // why not the better one, in words
	Kernel   string   `json:"kernel"`   // release of the kernel that would boot; "" when none is installed
	Missing  []string `json:"missing"`  // what a start would stop at, each with what to do: no kernel, no VMM
	CPUs     int      `json:"cpus"`
	Memory   int64    `json:"memory"`    // available, bytes
	DiskFree int64    `json:"disk_free"` // of the state directory's file system, bytes
}
