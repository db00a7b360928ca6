package machine

import "golang.org/x/sys/unix"

// landlockABI is the version of landlock that cloud-hypervisor needs: the first that can forbid truncation,
// Linux 6.2. Asked for on an older kernel it refuses to make the VM, and boots it unconfined when asked again.
const landlockABI = 3

// landlockCreateRulesetVersion makes landlock_create_ruleset(2) give the version instead of a ruleset.
const landlockCreateRulesetVersion = 1

// canLandlock says whether the kernel can confine cloud-hypervisor.
func canLandlock() bool {
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, landlockCreateRulesetVersion)
	return errno == 0 && int(abi) >= landlockABI
}
