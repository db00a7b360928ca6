package planfile

import (
	"fmt"

	"microagent/plan"
)

// operations are the actions that each kind knows. A plan that was made by hand may hold others.
var operations = map[plan.Kind][]plan.Action{
	plan.KindProject: {plan.ActionUpdate},
	plan.KindImage:   {plan.ActionNone, plan.ActionPull},
	plan.KindVolume:  {plan.ActionNone, plan.ActionCreate, plan.ActionMove, plan.ActionGrow, plan.ActionUpdate, plan.ActionKeep},
	plan.KindBundle:  {plan.ActionNone, plan.ActionBuild, plan.ActionUpdate, plan.ActionDelete},
	plan.KindDisk:    {plan.ActionNone},
	plan.KindWorkspace: {plan.ActionNone, plan.ActionCreate, plan.ActionUpdate, plan.ActionRestart, plan.ActionReplace,
		plan.ActionStart, plan.ActionStop, plan.ActionWait, plan.ActionDelete},
	plan.KindTurn:   {plan.ActionStop},
	plan.KindReady:  {plan.ActionWait},
	plan.KindTask:   {plan.ActionNone, plan.ActionRun, plan.ActionWait},
	plan.KindOutput: {plan.ActionNone, plan.ActionCollect},
}

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
	for _, a := range operations[c.Address.Kind] {
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
	case plan.KindWorkspace, plan.KindTask, plan.KindReady, plan.KindTurn:
		return c.Workspace != nil
	case plan.KindOutput:
		return c.Output != nil
	}
	return true
}
