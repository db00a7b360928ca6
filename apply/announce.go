package apply

import (
	"encoding/json"
	"time"

	"microagent/plan"
	"microagent/runtime/event"
	"microagent/schema/diag"
)

// Announce tells what p would do, what of it is due to drift, what its user is warned of, and what forbids it. Run begins
// with it.
func Announce(events event.Sink, p *plan.Plan) {
	now := time.Now()
	e := event.Event{Type: event.TypePlan, Time: now, Changes: []event.Change{}}
	for _, c := range p.Changes {
		if !c.Does() {
			continue
		}
		e.Changes = append(e.Changes, event.Change{Address: c.Address.String(), Action: string(c.Action),
			Reason: string(c.Reason), Detail: c.Detail, Danger: string(c.Danger), OnlyIf: len(c.If) > 0})
	}
	events.Emit(e)
	for _, c := range p.Changes {
		if c.Reason == plan.ReasonDrifted {
			events.Emit(event.Event{Type: event.TypeDrift, Time: now, Address: c.Address.String(), Action: string(c.Action), Message: c.Detail})
		}
	}
	diagnostics(events, event.TypeWarning, p.Warnings)
	diagnostics(events, event.TypeRefusal, p.Refusals)
}

func diagnostics(events event.Sink, kind event.Type, list []diag.Diagnostic) {
	for _, d := range list {
		if data, err := json.Marshal(d); err == nil {
			events.Emit(event.Event{Type: kind, Time: time.Now(), Message: d.Summary, Diagnostic: data})
		}
	}
}
