package supervise

import (
	"encoding/json"

	"microagent/runtime/driver"
	"microagent/runtime/event"
	"microagent/runtime/layout"
	"microagent/runtime/network/denial"
)

// mostDeniedEvents is how many denials of one run are told in its project's history: a guest must not push out what else
// is in it. All of them are in the workspace's own file, within its bound.
const mostDeniedEvents = 100

// recordDenial keeps the record of a denial, and tells of it. It is called by one at a time.
func (s *supervisor) recordDenial(d driver.Denial) {
	d.Run = s.spec.RunID
	if err := denial.Append(s.folder.File(layout.NetworkLog), d); err != nil {
		s.log.Error("keep the record of a denial", "error", err)
	}
	if s.denialsTold++; s.denialsTold > mostDeniedEvents {
		return
	}
	e := event.Event{Type: event.TypeDenied, Message: d.Text()}
	if s.denialsTold == mostDeniedEvents {
		e.Message += "; more of them are in: microagent logs --network " + s.spec.Workspace.Name
	}
	e.Denial, _ = json.Marshal(d) // of numbers and texts
	s.tell(e)
}
