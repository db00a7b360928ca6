package plan

import (
	"maps"
	"slices"

	"microagent/schema/diag"
	"microagent/schema/quantity"
	"microagent/schema/spec"
)

// checkHost looks for what an apply would stop at on this host.
func (p *planner) checkHost() {
	var starting []*workspaceState
	for _, name := range slices.Sorted(maps.Keys(p.state)) {
		if s := p.state[name]; s.starter() != nil {
			starting = append(starting, s)
		}
	}
	if len(starting) > 0 {
		for _, what := range p.world.Host.Missing {
			p.fail(CodeHost, diag.Pos{}, "microagent doctor", "no workspace can start on this host: %s", what)
		}
	}
	for _, s := range starting {
		if s.want.Isolation == spec.IsolationHardware && !p.world.Host.Hardware {
			vmm := p.world.Host.VMM
			if vmm == "" {
				vmm = "no VMM"
			}
			p.fail(CodeIsolation, s.decl.Pos, "run it on a host with KVM, or leave isolation: hardware out",
				"workspace %s demands isolation by hardware, and this host has %s%s", s.name, vmm, afterColon(p.world.Host.Why))
		}
	}
	resized := p.resized()
	sized := slices.Concat(starting, resized)
	for _, s := range sized {
		if n := p.world.Host.CPUs; n > 0 && s.want.CPUs > n {
			p.warn(CodeCPUs, s.decl.Pos, "", "workspace %s is to have %d CPUs, and this host has %d", s.name, s.want.CPUs, n)
		}
	}
	for _, s := range starting {
		for _, port := range s.want.Ports {
			if port.Host != 0 {
				p.plan.Capacity.Ports += len(port.Each())
			}
		}
	}
	memory := p.memoryAtOnce(sized)
	p.plan.Capacity.Memory = max(memory, 0)
	if free := p.world.Host.Memory; free > 0 && memory > free {
		what := "what starts"
		if len(resized) > 0 {
			what += " or grows"
		}
		p.warn(CodeMemory, diag.Pos{}, "", "%s is to have %s of memory, and %s are available", what, rounded(memory), rounded(free))
	}
	p.checkSpace()
}

// resized are those whose guests get other CPUs or memory while they run.
func (p *planner) resized() (list []*workspaceState) {
	for _, name := range slices.Sorted(maps.Keys(p.state)) {
		if s := p.state[name]; s.change != nil && s.change.Resize {
			list = append(list, s)
		}
	}
	return list
}

// mostInOrder is how many starts are looked at for those that never meet.
const mostInOrder = 200

// memoryAtOnce is the most that what starts has together, without what it gives up: tasks that take turns don't add up.
func (p *planner) memoryAtOnce(starting []*workspaceState) (most int64) {
	need := func(s *workspaceState) int64 {
		if s.have != nil && s.have.Running {
			return s.want.Memory - s.have.Spec.Memory
		}
		return s.want.Memory
	}
	for _, s := range starting {
		most += need(s)
	}
	if most <= p.world.Host.Memory || len(starting) > mostInOrder {
		return most
	}
	together := map[string]map[string]bool{} // those that may run yet when one starts
	for _, s := range starting {
		all := map[string]bool{}
		for _, x := range starting {
			all[x.name] = true
		}
		together[s.name] = p.order.Unended(s.name, all)
	}
	most = 0
	for _, s := range starting {
		var sum int64
		for _, x := range starting {
			if together[s.name][x.name] && together[x.name][s.name] {
				sum += need(x)
			}
		}
		most = max(most, sum)
	}
	return most
}

// checkSpace compares what is known to be written with what is free, and then what disks may take that are sparse until they
// are full.
func (p *planner) checkSpace() {
	need := &p.plan.Capacity
	for _, c := range p.all {
		switch {
		case c.Action == ActionPull:
			need.Written += c.Image.Size
		case c.Action == ActionBuild:
			need.Written += c.Bundle.Bytes
		case c.Action == ActionCreate && c.Volume != nil:
			need.Disks += c.Volume.Size
		case c.Action == ActionGrow:
			need.Disks += c.Volume.Size - p.world.Volumes[c.Volume.Name].Size
		case c.Workspace != nil && c.Address.Kind == KindWorkspace:
			need.Disks += p.rootGrowth(c)
		}
	}
	const next = "to free what nothing uses: microagent prune"
	switch free := p.world.Host.DiskFree; {
	case free <= 0:
	case need.Written > free:
		p.warn(CodeSpace, diag.Pos{}, next, "at least %s are to be written, and %s are free", rounded(need.Written), rounded(free))
	case need.Written+need.Disks > free:
		p.warn(CodeCapacity, diag.Pos{}, next, "the disks that are made may take %s more once they are full, and %s are free",
			rounded(need.Written+need.Disks), rounded(free))
	}
}

// rootGrowth is by how much the root file systems of a workspace may grow: one that is replaced stays beside the new one.
func (p *planner) rootGrowth(c *Change) int64 {
	switch c.Action {
	case ActionCreate, ActionReplace:
		return c.Workspace.DiskSize
	case ActionUpdate, ActionRestart, ActionStart:
		return max(0, c.Workspace.DiskSize-p.world.Workspaces[c.Workspace.Name].Spec.DiskSize)
	}
	return 0
}

// rounded is a size cut to MiB, so that odd figures stay readable.
func rounded(n int64) string {
	if size := quantity.Size(n); size >= quantity.MiB {
		return (size / quantity.MiB * quantity.MiB).String()
	}
	return quantity.Size(n).String()
}
