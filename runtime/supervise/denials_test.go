package supervise

import (
	"log/slog"
	"os"
	"strings"
	"testing"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/runtime/network/denial"
)

// TestDenialsFillNoHistory: a guest that is denied for ever pushes nothing else out of its project's history, and its own
// file has the records.
func TestDenialsFillNoHistory(t *testing.T) {
	state := layout.State{Dir: t.TempDir()}
	s := &supervisor{state: state, folder: state.Workspace("p.w"), log: slog.New(slog.DiscardHandler)}
	s.spec.RunID, s.spec.Workspace.Name, s.spec.Workspace.Project = "run", "p.w", "p"
	for _, dir := range []string{s.folder.Dir, state.Projects()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 * mostDeniedEvents {
		s.recordDenial(driver.Denial{Stage: "dns", Names: []string{"evil.example"}, Rule: "default", Reason: "no allow rule names evil.example", Count: 1})
	}
	list, err := denial.Read(s.folder.File(layout.NetworkLog))
	if err != nil || len(list) != 3*mostDeniedEvents || list[0].Run != "run" {
		t.Errorf("%d records, %v", len(list), err)
	}
	history, err := os.ReadFile(state.ProjectEvents("p"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(history)
	if n := strings.Count(text, `"type":"denied"`); n != mostDeniedEvents || !strings.Contains(text, "microagent logs --network p.w") ||
		!strings.Contains(text, `dns evil.example denied by default: no allow rule names evil.example`) {
		t.Errorf("%d events: %s", n, text[:min(len(text), 1000)])
	}
}
