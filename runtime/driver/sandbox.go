package driver

// Sandbox says what confines the VMM of a run, besides that it has no capabilities and can get none.
type Sandbox struct {
	Seccomp  bool `json:"seccomp"`  // it may make few system calls
	Landlock bool `json:"landlock"` // it may open few files
}

// Lack is a part of the sandbox that is missing, and what mends that.
type Lack struct {
	Code    string // "no_seccomp", "no_landlock"
	Short   string // "no seccomp"
	Message string
	Next    string
}

// The parts of a sandbox that can be missing.
var (
	NoSeccomp = Lack{
		"no_seccomp", "no seccomp", "QEMU was built without seccomp, so nothing limits its system calls",
		"install a QEMU that knows -sandbox, as those of distributions do",
	}
	NoLandlock = Lack{
		"no_landlock", "no landlock", "the kernel has no landlock that it could use, so the VMM may open whatever its user may",
		"boot Linux 6.2 or later with landlock among the names in lsm= on its command line",
	}
)

// Lacks lists what is missing of it.
func (s Sandbox) Lacks() []Lack {
	var lacks []Lack
	if !s.Seccomp {
		lacks = append(lacks, NoSeccomp)
	}
	if !s.Landlock {
		lacks = append(lacks, NoLandlock)
	}
	return lacks
}
