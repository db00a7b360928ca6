package machine

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// kvmState says whether KVM can run a guest, and if not, which of the ways it fails.
type kvmState string

const (
	kvmWorks      kvmState = "works"
	kvmAbsent     kvmState = "absent"     // no device node
	kvmForbidden  kvmState = "forbidden"  // the node is there and may not be opened
	kvmUnusable   kvmState = "unusable"   // it opens, and the CPU can't run a guest
	kvmUnanswered kvmState = "unanswered" // it opens and is no KVM, or makes no VM
)

// prober tells the state of KVM and says why in words.
type prober interface {
	probe() (kvmState, string)
}

// kvm is where KVM is looked for.
type kvm struct {
	device  string // "/dev/kvm"
	cpuinfo string // "/proc/cpuinfo"
	arch    string // GOARCH
}

var hostKVM = kvm{device: "/dev/kvm", cpuinfo: "/proc/cpuinfo", arch: runtime.GOARCH}

// ioctls of linux/kvm.h and the only API version there ever was.
const (
	kvmGetAPIVersion = 0xae00
	kvmCreateVM      = 0xae01
	kvmCreateVCPU    = 0xae41
	kvmGetTSCKHz     = 0xaea3
	kvmAPIVersion    = 12
)

// probe tells the state of KVM and says why in words. A device that opens proves nothing: there are hosts where a VM
// boots by all the API says and its CPU never runs an instruction, because the processor offers no virtualisation.
func (k kvm) probe() (kvmState, string) {
	f, err := os.OpenFile(k.device, os.O_RDWR, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return kvmAbsent, "there is no " + k.device
	case errors.Is(err, fs.ErrPermission):
		return kvmForbidden, k.device + " may not be opened by this user"
	case err != nil:
		return kvmAbsent, fmt.Sprintf("%s can't be opened: %v", k.device, err)
	}
	defer f.Close()
	if k.arch == "amd64" {
		switch ok, err := k.cpuVirtualises(); {
		case err != nil:
			return kvmUnusable, fmt.Sprintf("%s opens, and whether the CPU offers svm or vmx can't be read: %v", k.device, err)
		case !ok:
			return kvmUnusable, k.device + " opens, but the CPU offers neither svm nor vmx, so no guest would ever run"
		}
	}
	if version, err := ioctl(f, kvmGetAPIVersion); err != nil || version != kvmAPIVersion {
		return kvmUnanswered, k.device + " opens and does not answer as KVM"
	}
	vm, err := ioctl(f, kvmCreateVM)
	if err != nil {
		return kvmUnanswered, fmt.Sprintf("%s opens and makes no VM: %v", k.device, err)
	}
	_ = unix.Close(vm)
	return kvmWorks, ""
}

// kHz is the frequency of the time stamp counter that a guest has which was told none.
func (k kvm) kHz() (int, error) {
	f, err := os.OpenFile(k.device, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	vm, err := ioctl(f, kvmCreateVM)
	if err != nil {
		return 0, fmt.Errorf("%s makes no VM: %w", k.device, err)
	}
	defer unix.Close(vm)
	vcpu, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(vm), kvmCreateVCPU, 0)
	if errno != 0 {
		return 0, fmt.Errorf("%s makes no processor: %w", k.device, errno)
	}
	defer unix.Close(int(vcpu))
	khz, _, errno := unix.Syscall(unix.SYS_IOCTL, vcpu, kvmGetTSCKHz, 0)
	if errno != 0 {
		return 0, fmt.Errorf("%s does not say how fast the time stamp counter is: %w", k.device, errno)
	}
	return int(khz), nil
}

func ioctl(f *os.File, request uintptr) (int, error) {
	n, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), request, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func (k kvm) cpuVirtualises() (bool, error) {
	f, err := os.Open(k.cpuinfo)
	if err != nil {
		return false, err
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		name, flags, ok := strings.Cut(s.Text(), ":")
		if !ok || strings.TrimSpace(name) != "flags" {
			continue
		}
		list := strings.Fields(flags)
		return slices.Contains(list, "svm") || slices.Contains(list, "vmx"), nil
	}
	return false, s.Err()
}
