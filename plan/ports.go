package plan

import (
	"fmt"
	"maps"
	"slices"

	"microagent/schema/spec"
)

// checkPorts looks for numbers of the host that are to be taken and that another has: a workspace of another project, or
// any program. Those of this project's own workspaces are let go of in time, since no two of them declare one.
func (p *planner) checkPorts() {
	for _, name := range slices.Sorted(maps.Keys(p.state)) {
		s := p.state[name]
		if s.starter() == nil && (s.change == nil || !s.change.Publish) {
			continue
		}
		p.look(KindWorkspace, name, func() { p.checkPortsOf(s) })
	}
}

func (p *planner) checkPortsOf(s *workspaceState) {
	for _, port := range s.want.Ports {
		if port.Host == 0 {
			continue
		}
		if holder := p.holderOf(port); holder != "" {
			p.fail(CodePortTaken, s.decl.Pos, fmt.Sprintf("ports: {%s: {host: auto}} takes one that is free", port.Name),
				"port %s of workspace %s can't be published: %s", port.String(), s.name, holder)
		}
	}
}

// holderOf says who has a port of the host, "" for nobody, or one of this project.
func (p *planner) holderOf(port spec.Port) string {
	var ours []spec.Port
	for _, disk := range slices.Sorted(maps.Keys(p.world.Workspaces)) {
		w := p.world.Workspaces[disk]
		for _, had := range w.Ports {
			switch {
			case w.Spec.Project == p.plan.Project && p.plan.Project != "":
				ours = append(ours, had)
			case had.Collides(port):
				return fmt.Sprintf("workspace %s has %s of the host", disk, had.Where())
			}
		}
	}
	for _, one := range port.Each() {
		for _, server := range p.world.Servers {
			if one.Collides(server) && !slices.ContainsFunc(ours, server.Collides) {
				return fmt.Sprintf("another program listens on %s", server.Where())
			}
		}
	}
	return ""
}
