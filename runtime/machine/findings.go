package machine

import (
	"errors"
	"fmt"
	"slices"

	"microagent/runtime/driver"
)

// Bounds below which a start is not worth trying.
const (
	minMemory = 256 << 20
	minDisk   = 512 << 20
)

// Severities of findings, worst first.
const (
	severityError   = "error"
	severityWarning = "warning"
	severityNote    = "note"
	severityOK      = "ok"
)

// facts are what was seen on a host; findings is what follows from them, and nothing else.
type facts struct {
	vmm                   string // as Config.VMM
	kvm                   kvmState
	kvmWhy                string
	cloudHypervisor, qemu found
	choice                Choice
	choiceErr             error
	unfiltered            bool   // QEMU knows no -sandbox
	openSockets           bool   // the kernel can't keep a gateway from sockets that are not of IP
	landlock              int    // version that the host's kernel has; 0: none
	kernel                string // its release; empty with a nil kernelErr: nobody looked
	kernelErr             error
	memory                int64 // bytes available; 0 is unknown
	disk                  int64 // bytes free below dir; negative is unknown
	dir                   string
}

func (f facts) findings() []driver.Finding {
	var list []driver.Finding
	add := func(code, severity, message, next string) {
		list = append(list, driver.Finding{Code: code, Severity: severity, Message: message, Next: next})
	}
	hv := f.cloudHypervisor
	asked := f.vmm == CloudHypervisor // what it lacks first is the choice's error
	switch {
	case f.kvm == kvmWorks, asked && hv.err == nil:
	case asked:
		add(kvmCode(f.kvm), severityWarning, f.kvmWhy, kvmNext(f.kvm))
	default:
		add(kvmCode(f.kvm), severityWarning, f.kvmWhy+"; guests are emulated: slow, and no security boundary", kvmNext(f.kvm))
	}
	switch {
	case hv.err == nil && hv.note != "":
		add("new_cloud_hypervisor", severityNote, hv.note, "report what does not work with it")
	case hv.err == nil, asked:
	case hv.old:
		add("old_cloud_hypervisor", severityWarning, hv.err.Error(), "install a newer cloud-hypervisor")
	case f.kvm == kvmWorks:
		add("no_cloud_hypervisor", severityWarning, hv.err.Error()+"; guests run under QEMU with KVM", "install cloud-hypervisor v53 or later")
	default:
		add("no_cloud_hypervisor", severityNote, hv.err.Error()+"; without KVM it would not be used", "")
	}
	switch {
	case f.choiceErr != nil:
		list = append(list, f.noVMM())
	case f.qemu.err != nil:
		add("no_qemu", severityNote, f.qemu.err.Error(), nextQEMU)
	}
	if f.choiceErr == nil {
		isolation := "isolates by hardware"
		if !f.choice.Hardware {
			isolation = "does not isolate by hardware"
		}
		for _, l := range f.sandbox().Lacks() {
			add(l.Code, severityWarning, l.Message, l.Next)
		}
		if f.openSockets {
			add("no_socket_filter", severityWarning, "the kernel has no filters for system calls, so what carries the network of a workspace may connect to unix sockets of this host",
				"boot a kernel with CONFIG_SECCOMP_FILTER")
		}
		add("vmm", severityOK, f.choice.Name+" runs workspaces and "+isolation, "")
	}
	switch {
	case f.kernelErr != nil:
		list = append(list, noKernel(f.kernelErr))
	case f.kernel != "":
		add("kernel", severityOK, "guests boot kernel "+f.kernel, "")
	}
	if f.memory > 0 && f.memory < minMemory {
		add("low_memory", severityWarning, fmt.Sprintf("%d MiB of memory are available", f.memory>>20), "stop something, or give workspaces less memory")
	}
	if f.disk >= 0 && f.disk < minDisk {
		add("low_disk", severityWarning, fmt.Sprintf("%d MiB are free below %s", f.disk>>20, f.dir), "choose another --state-dir, or remove what nothing uses: microagent prune")
	}
	slices.SortStableFunc(list, func(a, b driver.Finding) int { return rank(a.Severity) - rank(b.Severity) })
	return list
}

// sandbox is what would hold the chosen VMM.
func (f facts) sandbox() driver.Sandbox {
	if f.choice.Kind == CloudHypervisor {
		return driver.Sandbox{Seccomp: true, Landlock: f.landlock >= cloudHypervisorLandlock}
	}
	return driver.Sandbox{Seccomp: !f.unfiltered, Landlock: f.landlock > 0}
}

func rank(severity string) int {
	return slices.Index([]string{severityError, severityWarning, severityNote, severityOK}, severity)
}

// noVMM tells of the choice of a VMM that failed.
func (f facts) noVMM() driver.Finding {
	code := "no_qemu"
	switch {
	case f.vmm != CloudHypervisor:
	case f.cloudHypervisor.old:
		code = "old_cloud_hypervisor"
	case f.cloudHypervisor.err != nil:
		code = "no_cloud_hypervisor"
	default:
		code = kvmCode(f.kvm)
	}
	return driver.Finding{Code: code, Severity: severityError, Message: f.choiceErr.Error(), Next: driver.Next(f.choiceErr)}
}

func noKernel(err error) driver.Finding {
	next := driver.Next(err)
	if next == "" {
		next = "microagent kernel install"
	}
	message := err.Error()
	if errors.Is(err, driver.ErrNotFound) {
		message = "no guest kernel is installed"
	}
	return driver.Finding{Code: "no_kernel", Severity: severityError, Message: message, Next: next}
}

func kvmCode(state kvmState) string {
	switch state {
	case kvmForbidden:
		return "kvm_forbidden"
	case kvmAbsent:
		return "no_kvm"
	}
	return "kvm_unusable"
}
