package machine

import (
	"bufio"
	"context"
	"errors"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"microagent/runtime/confine"
	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

// Hosts looks at the host for driver.Hosts and driver.Doctor.
type Hosts struct {
	Config Config
	Dir    string // the state directory; it need not exist yet
	// Kernel gives the release of the kernel that would boot; its error is shown as the reason why none would.
	Kernel func(ctx context.Context) (release string, err error)

	kvm prober // nil is the host's
}

var (
	_ driver.Hosts  = (*Hosts)(nil)
	_ driver.Doctor = (*Hosts)(nil)
)

func (h *Hosts) where() prober {
	if h.kvm != nil {
		return h.kvm
	}
	return hostKVM
}

// Observe says what would run a workspace here. Missing holds what a start would stop at.
func (h *Hosts) Observe(ctx context.Context, vmm bool) (driver.Host, error) {
	host := driver.Host{CPUs: runtime.NumCPU(), Memory: availableMemory(), DiskFree: layout.Free(h.Dir)}
	if !vmm {
		return host, ctx.Err()
	}
	state, why := h.where().probe()
	hv := sync.OnceValue(func() found { return h.Config.findCloudHypervisor(ctx) })
	choice, err := h.Config.decide(state, why, hv, func() found { return h.Config.findQEMU(ctx) })
	switch {
	case errors.Is(err, driver.ErrInvalid):
		return host, err
	case err != nil:
		host.Why = err.Error()
		f := facts{vmm: h.Config.VMM, kvm: state, cloudHypervisor: hv(), choiceErr: err}
		host.Missing = append(host.Missing, f.noVMM().String())
	default:
		host.VMM, host.Hardware, host.Why = choice.Name, choice.Hardware, choice.Why
	}
	if h.Kernel != nil {
		release, err := h.Kernel(ctx)
		if err != nil {
			host.Missing = append(host.Missing, noKernel(err).String())
		}
		host.Kernel = release
	}
	return host, ctx.Err()
}

// Diagnose says everything that could be better on this host, the worst first.
func (h *Hosts) Diagnose(ctx context.Context) []driver.Finding {
	f := facts{
		vmm: h.Config.VMM, cloudHypervisor: h.Config.findCloudHypervisor(ctx), qemu: h.Config.findQEMU(ctx),
		memory: availableMemory(), disk: layout.Free(h.Dir), dir: h.Dir,
	}
	f.unfiltered = f.qemu.err == nil && !knowsSandbox(ctx, f.qemu.path)
	f.landlock, f.openSockets = confine.LandlockVersion(), !confine.CanFilter()
	f.kvm, f.kvmWhy = h.where().probe()
	f.choice, f.choiceErr = h.Config.decide(f.kvm, f.kvmWhy,
		func() found { return f.cloudHypervisor }, func() found { return f.qemu })
	if h.Kernel != nil {
		f.kernel, f.kernelErr = h.Kernel(ctx)
	}
	return f.findings()
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
