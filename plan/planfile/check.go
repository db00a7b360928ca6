package planfile

import (
	"fmt"

	"microagent/plan"
)

// check holds a plan to what apply relies on: known operations, each with its object, each after what it waits for.
func check(p *plan.Plan) error {
	if p.Format != plan.Format {
		return fmt.Errorf("the plan in it has format %d", p.Format)
	}
	if p.Project == "" {
		return fmt.Errorf("the plan in it has no project")
	}
	if p.Bound == nil {
		return fmt.Errorf("the plan in it is bound to no records")
	}
	done := map[plan.Address]bool{}
	for i := range p.Changes {
		c := &p.Changes[i]
		if done[c.Address] {
			return fmt.Errorf("%s is in it twice", c.Address)
		}
		if !known(c) {
			return fmt.Errorf("no operation %q on %s", c.Action, c.Address)
		}
		if c.Does() && c.Action != plan.ActionDelete && !hasObject(c) {
			return fmt.Errorf("%s of %s says nothing about the object", c.Action, c.Address)
		}
		for _, dep := range append(c.Needs(), c.DependsOn()...) {
			if !done[dep] {
				return fmt.Errorf("%s comes before %s, which it waits for", c.Address, dep)
			}
		}
		done[c.Address] = true
	}
	return nil
}

func known(c *plan.Change) bool {
	for _, a := range plan.Operations[c.Address.Kind] {
		if a == c.Action {
			return true
		}
	}
	return false
}

func hasObject(c *plan.Change) bool {
	switch c.Address.Kind {
	case plan.KindProject:
		return c.Project != nil
	case plan.KindImage:
		return c.Image != nil
	case plan.KindVolume:
		return c.Volume != nil
	case plan.KindBundle:
		return c.Bundle != nil
	case plan.KindRename:
		return c.Rename != nil
	case plan.KindWorkspace, plan.KindTask, plan.KindReady, plan.KindTurn:
		return c.Workspace != nil
	case plan.KindOutput:
		return c.Output != nil
	}
	return true
}
