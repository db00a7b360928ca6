package apply

import (
	"encoding/json"
	"time"

	"microagent/plan"
	"microagent/runtime/event"
)

// announce tells what p is going to do, what of it is due to drift, and what its user is warned of.
func announce(events event.Sink, p *plan.Plan) {
	now := time.Now()
	e := event.Event{Type: event.TypePlan, Time: now, Changes: []event.Change{}}
	for _, c := range p.Changes {
		if !c.Does() {
			continue
		}
		e.Changes = append(e.Changes, event.Change{Address: c.Address.String(), Action: string(c.Action),
			Reason: string(c.Reason), Detail: c.Detail, Danger: string(c.Danger)})
	}
	events.Emit(e)
	for _, c := range p.Changes {
		if c.Reason == plan.ReasonDrifted {
			events.Emit(event.Event{Type: event.TypeDrift, Time: now, Address: c.Address.String(), Action: string(c.Action), Message: c.Detail})
		}
	}
	for _, w := range p.Warnings {
		if data, err := json.Marshal(w); err == nil {
			events.Emit(event.Event{Type: event.TypeWarning, Time: now, Message: w.Summary, Diagnostic: data})
		}
	}
}
