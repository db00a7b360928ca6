package machine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"microagent/runtime/driver"
)

// Hosts looks at the host for driver.Hosts and driver.Doctor.
type Hosts struct {
	Config Config
	Dir    string // the state directory; it need not exist yet
	// Kernel gives the release of the kernel that would boot; its error is shown as the reason why none would.
	Kernel func(ctx context.Context) (release string, err error)

	kvm *kvm // nil is the host's
}

var (
	_ driver.Hosts  = (*Hosts)(nil)
	_ driver.Doctor = (*Hosts)(nil)
)

func (h *Hosts) where() kvm {
	if h.kvm != nil {
		return *h.kvm
	}
	return hostKVM
}

// Bounds below which a start is not worth trying.
const (
	minMemory = 256 << 20
	minDisk   = 512 << 20
)

// Observe says what would run a workspace here. Missing holds what a start would stop at.
func (h *Hosts) Observe(ctx context.Context) (driver.Host, error) {
	host := driver.Host{CPUs: runtime.NumCPU(), Memory: availableMemory(), DiskFree: diskFree(h.Dir)}
	choice, err := h.Config.choose(ctx, h.where())
	switch {
	case errors.Is(err, driver.ErrInvalid):
		return host, err
	case err != nil:
		host.Why = err.Error()
		host.Missing = append(host.Missing, h.missingVMM(err))
	default:
		host.VMM, host.Hardware, host.Why = choice.Name, choice.Hardware, choice.Why
	}
	if h.Kernel != nil {
		release, err := h.Kernel(ctx)
		if err != nil {
			host.Missing = append(host.Missing, noKernel(err))
		}
		host.Kernel = release
	}
	return host, ctx.Err()
}

func (h *Hosts) missingVMM(err error) driver.Finding {
	code := "no_qemu"
	if h.Config.VMM == CloudHypervisor {
		code = "no_cloud_hypervisor"
		if state, _ := h.where().probe(); state != kvmWorks {
			code = kvmCode(state)
		}
	}
	return driver.Finding{Code: code, Severity: severityError, Message: err.Error(), Next: driver.Next(err)}
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

// Severities of findings, worst first.
const (
	severityError   = "error"
	severityWarning = "warning"
	severityNote    = "note"
	severityOK      = "ok"
)

// Diagnose says everything that could be better on this host.
func (h *Hosts) Diagnose(ctx context.Context) []driver.Finding {
	var list []driver.Finding
	add := func(code, severity, message, next string) {
		list = append(list, driver.Finding{Code: code, Severity: severity, Message: message, Next: next})
	}
	state, why := h.where().probe()
	if state != kvmWorks {
		add(kvmCode(state), severityWarning, why+"; guests are emulated: slow, and no security boundary", kvmNext(state))
	}
	hv := h.Config.findCloudHypervisor(ctx)
	switch {
	case hv.err == nil:
	case hv.old:
		add("old_cloud_hypervisor", severityWarning, hv.err.Error(), "install a newer cloud-hypervisor")
	case state == kvmWorks:
		add("no_cloud_hypervisor", severityWarning, hv.err.Error()+"; guests run under QEMU with KVM", "install cloud-hypervisor v53 or later")
	default:
		add("no_cloud_hypervisor", severityNote, hv.err.Error()+"; without KVM it would not be used", "")
	}
	q := h.Config.findQEMU(ctx)
	choice, err := h.Config.choose(ctx, h.where())
	switch {
	case err != nil:
		list = append(list, h.missingVMM(err))
	case q.err != nil:
		add("no_qemu", severityNote, q.err.Error(), nextQEMU)
	}
	if err == nil {
		isolation := "isolates by hardware"
		if !choice.Hardware {
			isolation = "does not isolate by hardware"
		}
		add("vmm", severityOK, choice.Name+" runs workspaces and "+isolation, "")
	}
	if h.Kernel != nil {
		if release, err := h.Kernel(ctx); err != nil {
			list = append(list, noKernel(err))
		} else {
			add("kernel", severityOK, "guests boot kernel "+release, "")
		}
	}
	if m := availableMemory(); m > 0 && m < minMemory {
		add("low_memory", severityWarning, fmt.Sprintf("%d MiB of memory are available", m>>20), "stop something, or give workspaces less memory")
	}
	if free := diskFree(h.Dir); free >= 0 && free < minDisk {
		add("low_disk", severityWarning, fmt.Sprintf("%d MiB are free below %s", free>>20, h.Dir), "microagent prune, or choose another --state-dir")
	}
	slices.SortStableFunc(list, func(a, b driver.Finding) int { return rank(a.Severity) - rank(b.Severity) })
	return list
}

func rank(severity string) int {
	return slices.Index([]string{severityError, severityWarning, severityNote, severityOK}, severity)
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

// availableMemory is MemAvailable of /proc/meminfo in bytes, 0 when it can't be read.
func availableMemory() int64 {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		rest, ok := strings.CutPrefix(s.Text(), "MemAvailable:")
		if !ok {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		if err != nil {
			return 0
		}
		return kib << 10
	}
	return 0
}

// diskFree is what an unprivileged process may still write below dir, or below its nearest folder that exists; -1
// when it can't be known.
func diskFree(dir string) int64 {
	for {
		var st unix.Statfs_t
		err := unix.Statfs(dir, &st)
		if err == nil {
			return int64(st.Bavail) * st.Bsize
		}
		parent := filepath.Dir(dir)
		if !errors.Is(err, fs.ErrNotExist) || parent == dir {
			return -1
		}
		dir = parent
	}
}
