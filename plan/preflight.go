package plan

import (
	"maps"
	"slices"

	"microagent/schema/diag"
	"microagent/schema/quantity"
	"microagent/schema/spec"
)

// preflight looks for what an apply would stop at on this host.
func (k *maker) preflight() {
	var starting []*workspaceState
	for _, name := range slices.Sorted(maps.Keys(k.state)) {
		if s := k.state[name]; s.starter() != nil {
			starting = append(starting, s)
		}
	}
	if len(starting) > 0 {
		for _, what := range k.w.Host.Missing {
			k.fail(CodeHost, diag.Pos{}, "microagent doctor tells more", "no workspace can start on this host: %s", what)
		}
	}
	var memory int64
	for _, s := range starting {
		if s.want.Isolation == spec.IsolationHardware && !k.w.Host.Hardware {
			vmm := k.w.Host.VMM
			if vmm == "" {
				vmm = "no VMM"
			}
			k.fail(CodeIsolation, s.decl.Pos, "run it on a host with KVM, or leave isolation: hardware out",
				"workspace %s demands isolation by hardware, and this host has %s%s", s.name, vmm, because(k.w.Host.Why))
		}
		if n := k.w.Host.CPUs; n > 0 && s.want.CPUs > n {
			k.warn(CodeCPUs, s.decl.Pos, "", "workspace %s is to have %d CPUs, and this host has %d", s.name, s.want.CPUs, n)
		}
		memory += s.want.Memory
		if s.have != nil && s.have.Running {
			memory -= s.have.Spec.Memory
		}
	}
	if free := k.w.Host.Memory; free > 0 && memory > free {
		k.warn(CodeMemory, diag.Pos{}, "", "what starts is to have %s of memory, and %s are available",
			rounded(memory), rounded(free))
	}
	k.space()
}

// space compares what is known to be written with what is free. Disks are sparse: sizes of volumes don't count.
func (k *maker) space() {
	var need int64
	for _, c := range k.all {
		switch {
		case c.Action == ActionPull:
			need += c.Image.Size
		case c.Action == ActionBuild && !k.w.Sources[c.Address.Name].Built:
			need += k.w.Sources[c.Address.Name].Bytes
		}
	}
	if free := k.w.Host.DiskFree; free > 0 && need > free {
		k.warn(CodeSpace, diag.Pos{}, "microagent prune frees what nothing uses",
			"at least %s are to be written, and %s are free", rounded(need), rounded(free))
	}
}

// rounded is a size cut to MiB, so that odd figures stay readable.
func rounded(n int64) string {
	if size := quantity.Size(n); size >= quantity.MiB {
		return (size / quantity.MiB * quantity.MiB).String()
	}
	return quantity.Size(n).String()
}
