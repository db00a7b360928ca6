package cli

import (
	"context"
	"fmt"
	"time"

	"microagent/runtime/driver"
	"microagent/schema/printable"
)

// lossLines tell what the end of a run cost that nobody asked for. run is the newest of its workspace.
func lossLines(l driver.Loss, run *driver.Run) []string {
	what := "it"
	if l.Task {
		what = "its task"
	}
	next := what + " was not started again"
	switch waits := run != nil && run.LossOf == l.Run && run.ID != l.Run; { // for its turn
	case waits && run.BacksOff():
		next = what + " starts again at " + moment(*run.Restarts.Next)
	case waits && run.Stopped:
		next = what + " was stopped before it started again"
	case l.Restarted && !(waits && !run.Phase.Alive()):
		next = what + " was started again"
	}
	lines := []string{
		fmt.Sprintf("its run ended by itself at %s: %s; %s", moment(l.At), printable.Line(l.Why), next),
		"what was in its memory is lost; its root file system is " + l.RootFS,
	}
	for _, image := range l.Images {
		text := printable.Line(image.Name) + ": "
		if image.LastWrite.IsZero() {
			text += "when it was last written is not known"
		} else {
			text += "the last write reached it at " + moment(image.LastWrite)
		}
		lines = append(lines, text+", "+journalWords[image.Journal])
	}
	return lines
}

var journalWords = map[string]string{
	driver.JournalClean:   "its journal is clean",
	driver.JournalDirty:   "its journal is replayed by the next mount",
	driver.JournalUnknown: "its journal is not known",
}

func moment(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// newLoss is what is to be told of the end of a run, nil when there is nothing or it was told before.
func newLoss(ws driver.Workspace) *driver.Loss {
	if ws.LossShown {
		return nil
	}
	return ws.Loss
}

// sayLoss tells it once. A state directory that is only read is told again the next time.
func (a *app) sayLoss(ctx context.Context, w *world, ws driver.Workspace) {
	l := newLoss(ws)
	if l == nil || a.JSON {
		return
	}
	for _, line := range lossLines(*l, ws.Run) {
		a.Say("workspace %s: %s", ws.Spec.Name, line)
	}
	_ = w.Runs.NoteLossShown(ctx, ws.Spec.Name, l.Run)
}
