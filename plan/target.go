package plan

import (
	"fmt"
	"slices"
	"strings"

	"microagent/schema/diag"
)

// keepTargets leaves in the plan what --target names and what that rests on, whoever else needs that as well. What is left
// out is told in a warning: the project is not as declared then.
func (p *planner) keepTargets() {
	if len(p.options.Targets) == 0 {
		return
	}
	p.plan.Targets = slices.Sorted(slices.Values(p.options.Targets))
	wanted := map[Address]bool{}
	p.concerns = map[Address]bool{}
	for _, name := range p.plan.Targets {
		found, refused := p.targets(name), p.refusedTargets(name)
		if len(found)+len(refused) == 0 {
			p.fail(CodeUnknownName, diag.Pos{}, "give the name of a workspace, or an address such as volume/data",
				"--target %s: there is no such object", name)
		}
		for _, c := range found {
			p.takeIn(c, wanted)
		}
		for _, a := range refused {
			p.restOn(a)
		}
	}
	for a := range wanted {
		p.restOn(a)
	}
	for a := range wanted {
		c := p.at[a]
		c.Deps = slices.DeleteFunc(c.Deps, func(dep Address) bool { return !wanted[dep] })
	}
	before := len(p.all)
	out := func(c *Change) bool { return c != nil && c.Does() && !wanted[c.Address] }
	p.all = slices.DeleteFunc(p.all, out)
	for _, s := range p.state {
		if out(s.starter()) || out(s.change) {
			s.change = nil // what this host lacks for it does not matter
		}
	}
	if left := before - len(p.all); left > 0 {
		p.warn(CodeTargets, diag.Pos{}, "apply the whole when you can: microagent apply",
			"only %s is planned: %s", strings.Join(p.plan.Targets, ", "), leftOut(left))
	}
}

// concern says that a refusal which is about an object is one of this plan: all are, but those of what --target leaves out.
func (p *planner) concern(a Address) bool {
	return a == Address{} || p.concerns == nil || p.concerns[a]
}

// refusedTargets are the objects that a name of --target means and that were refused: there may be no change of them.
func (p *planner) refusedTargets(name string) (list []Address) {
	for _, r := range p.refusals {
		of := r.about.Kind == KindWorkspace && (r.about.Name == name || string(KindTask)+"/"+r.about.Name == name) ||
			r.about.Kind == KindOutput && p.manifest.Outputs[r.about.Name].From == name
		if of || r.about.String() == name {
			list = append(list, r.about)
		}
	}
	return list
}

// restOn has the plan concern an object and, as the manifest has it, all that this one is made of and comes after, also what
// could not be planned.
func (p *planner) restOn(a Address) {
	switch a.Kind {
	case KindTask, KindRename, KindTurn, KindReady:
		a.Kind = KindWorkspace
	}
	if a.Name == "" || p.concerns[a] {
		return
	}
	p.concerns[a] = true
	switch a.Kind {
	case KindWorkspace:
		ws := p.manifest.Workspaces[a.Name]
		image, _ := imageOf(p.world, ws.Image)
		p.restOn(Address{KindImage, image})
		for _, m := range ws.Mounts {
			p.restOn(Address{KindVolume, m.Volume})
			p.restOn(Address{KindBundle, m.Bundle})
			p.restOn(Address{KindDisk, m.Disk})
		}
		for first := range ws.After {
			p.restOn(Address{KindWorkspace, first})
		}
	case KindVolume:
		from := p.manifest.Volumes[a.Name].From
		p.restOn(Address{KindVolume, from.Volume})
		p.restOn(Address{KindBundle, from.Bundle})
	case KindBundle:
		p.restOn(Address{KindOutput, p.made[a.Name]})
	case KindOutput:
		p.restOn(Address{KindWorkspace, p.manifest.Outputs[a.Name].From})
	}
}

func leftOut(n int) string {
	if n == 1 {
		return "1 other change is left out"
	}
	return fmt.Sprintf("%d other changes are left out", n)
}

// targets are the changes that a name of --target means: one address, or all of a workspace with its task and its outputs.
// Others wait until it is ready, and bring that in themselves.
func (p *planner) targets(name string) []*Change {
	var found []*Change
	for _, c := range p.all {
		of := c.Address.Name == name
		switch c.Address.Kind {
		case KindWorkspace, KindRename, KindTurn, KindTask:
		case KindOutput:
			of = p.manifest.Outputs[c.Address.Name].From == name
		default:
			of = false
		}
		if of || c.Address.String() == name {
			found = append(found, c)
		}
	}
	return found
}

// takeIn takes in c, what it waits for, the start of what stops for it, and the names by which its workspace knows others.
func (p *planner) takeIn(c *Change, wanted map[Address]bool) {
	if c == nil || wanted[c.Address] {
		return
	}
	wanted[c.Address] = true
	for _, dep := range c.Needs() {
		if !p.loose[loose{c.Address, dep}] {
			p.takeIn(p.at[dep], wanted)
		}
	}
	of := Address{KindWorkspace, c.Address.Name}
	switch c.Address.Kind {
	case KindTurn:
		p.takeIn(p.at[of], wanted)
	case KindRename:
		if c.Danger == DangerDowntime {
			p.takeIn(p.at[of], wanted)
		}
	case KindWorkspace, KindTask:
		ws := p.manifest.Workspaces[of.Name]
		for first := range ws.After {
			p.takeIn(p.at[Address{KindRename, first}], wanted)
		}
		if ws.Network != nil {
			for _, peer := range ws.Network.Peers {
				p.takeIn(p.at[Address{KindRename, peer.Name}], wanted)
			}
		}
	}
}
