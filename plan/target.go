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
	for _, name := range p.plan.Targets {
		found := p.targets(name)
		if len(found) == 0 {
			p.fail(CodeUnknownName, diag.Pos{}, "give the name of a workspace, or an address such as volume/data",
				"--target %s: there is no such object", name)
		}
		for _, c := range found {
			p.takeIn(c, wanted)
		}
	}
	before := len(p.all)
	out := func(c *Change) bool { return c.Does() && !wanted[c.Address] }
	p.all = slices.DeleteFunc(p.all, out)
	for _, s := range p.state {
		if c := s.starter(); c != nil && out(c) {
			s.change = nil // what this host lacks for its start does not matter
		}
	}
	if left := before - len(p.all); left > 0 {
		p.warn(CodeTargets, diag.Pos{}, "apply the whole when you can: microagent apply",
			"only %s is planned: %s", strings.Join(p.plan.Targets, ", "), leftOut(left))
	}
}

func leftOut(n int) string {
	if n == 1 {
		return "1 other change is left out"
	}
	return fmt.Sprintf("%d other changes are left out", n)
}

// targets are the changes that a name of --target means: one address, or all of a workspace with its task and its outputs.
func (p *planner) targets(name string) []*Change {
	var found []*Change
	for _, c := range p.all {
		of := c.Address.Name == name
		switch c.Address.Kind {
		case KindWorkspace, KindRename, KindTurn, KindTask, KindReady:
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

// takeIn takes in c, what it waits for, and the start of what stops for it.
func (p *planner) takeIn(c *Change, wanted map[Address]bool) {
	if c == nil || wanted[c.Address] {
		return
	}
	wanted[c.Address] = true
	if c.Address.Kind == KindTurn {
		p.takeIn(p.at[Address{KindWorkspace, c.Address.Name}], wanted)
	}
	for _, dep := range c.Deps {
		p.takeIn(p.at[dep], wanted)
	}
}
