package confine

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// arches are what seccomp(2) calls the system calls of a GOARCH by. A program that calls by those of another, as the 32-bit
// ones of amd64, would pass numbers that mean something else.
var arches = map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}

// x32 is set in the numbers of amd64's third kind of system calls.
const x32 = 1 << 30

// Offsets into struct seccomp_data of linux/seccomp.h.
const (
	offNumber = 0
	offArch   = 4
	offFirst  = 16 // the low half of the first argument
)

// socketFilter lets sockets be made that reach over IP, and that which asks the kernel for the host's addresses. It denies
// those of every other family, and ways around the call for one: landlock keeps nobody from connecting to a unix socket by
// its path, behind which may be a daemon that does what it is asked.
func socketFilter(arch uint32) ([]bpf.RawInstruction, error) {
	const deny, allow = 11, 12
	return bpf.Assemble([]bpf.Instruction{
		0:     bpf.LoadAbsolute{Off: offArch, Size: 4},
		1:     bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: arch, SkipTrue: deny - 2},
		2:     bpf.LoadAbsolute{Off: offNumber, Size: 4},
		3:     bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: x32, SkipTrue: deny - 4},
		4:     bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.SYS_SOCKETPAIR, SkipTrue: deny - 5}, // one of datagrams sends to any path
		5:     bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.SYS_IO_URING_SETUP, SkipTrue: deny - 6},
		6:     bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.SYS_SOCKET, SkipTrue: allow - 7},
		7:     bpf.LoadAbsolute{Off: offFirst, Size: 4},
		8:     bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_INET, SkipTrue: allow - 9},
		9:     bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_INET6, SkipTrue: allow - 10},
		10:    bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_NETLINK, SkipTrue: allow - 11},
		deny:  bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
		allow: bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW},
	})
}

// CanFilter says whether the kernel filters system calls: to one that does, no program at all is a bad address (prctl(2),
// PR_SET_SECCOMP).
func CanFilter() bool {
	return errors.Is(unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, 0, 0, 0), unix.EFAULT)
}

// filterSockets does nothing where the kernel has no filters.
func filterSockets() error {
	arch, ok := arches[runtime.GOARCH]
	if !ok {
		return fmt.Errorf("no filter is known for %s", runtime.GOARCH)
	}
	program, err := socketFilter(arch)
	if err != nil {
		return err
	}
	filter := make([]unix.SockFilter, len(program))
	for i, one := range program {
		filter[i] = unix.SockFilter{Code: one.Op, Jt: one.Jt, Jf: one.Jf, K: one.K}
	}
	all := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	err = unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&all)), 0, 0)
	if errors.Is(err, unix.EINVAL) {
		return nil
	}
	return err
}
