package plan_test

import (
	"slices"
	"testing"

	"microagent/plan"
)

// checkPlan holds a plan to what is promised of every plan.
func checkPlan(t testing.TB, p *plan.Plan) {
	t.Helper()
	at := map[plan.Address]int{}
	for i := range p.Changes {
		c := &p.Changes[i]
		if _, twice := at[c.Address]; twice {
			t.Errorf("%s is in the plan twice", c.Address)
		}
		at[c.Address] = i
		if c.Address.Kind == plan.KindVolume && c.Action == plan.ActionDelete {
			t.Errorf("%s is deleted", c.Address)
		}
		if c.Danger != plan.DangerNone && c.Warning == "" {
			t.Errorf("%s: danger %s without words", c.Address, c.Danger)
		}
		if !slices.Contains(plan.Operations[c.Address.Kind], c.Action) {
			t.Errorf("%s %s is no operation", c.Action, c.Address)
		}
		if c.Does() && c.Reason == "" {
			t.Errorf("%s %s has no reason", c.Action, c.Address)
		}
		if !c.Does() && len(c.Fields) > 0 {
			t.Errorf("%s %s has fields", c.Action, c.Address)
		}
	}
	circles := len(p.Refusals) > 0
	for i := range p.Changes {
		c := &p.Changes[i]
		for _, dep := range append(c.Needs(), c.DependsOn()...) {
			j, ok := at[dep]
			if !ok || !p.Changes[j].Does() {
				t.Errorf("%s waits for %s, which is not done", c.Address, dep)
			}
			if j >= i && !circles {
				t.Errorf("%s comes before %s, which it waits for", c.Address, dep)
			}
		}
	}
}
