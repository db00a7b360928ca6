package driver

import "microagent/schema/spec"

// Live is what a running guest has that can change without a restart, and how far. It tells of what the VMM and the guest have, and
// not of what was declared.
type Live struct {
	Mounts []spec.Mount `json:"mounts"`          // as they are
	Fixed  []string     `json:"fixed,omitempty"` // paths of those that stay for as long as the VMM is there
	Room   int          `json:"room"`            // for so many more disks
	// VM is what the VMM itself says of its VM; nil where nobody has asked it, as an older microagent has not.
	VM *spec.VM `json:"vm,omitempty"`
}
