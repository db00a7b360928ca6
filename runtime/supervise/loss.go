package supervise

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/event"
	"microagent/runtime/layout"
	"microagent/runtime/project"
	"microagent/runtime/supervise/attach"
	"microagent/runtime/supervise/control"
)

// costs says whether what the end of a run cost is kept: nobody asked for it, and it was up. A task that ended by itself has
// left what it was to leave.
func costs(w driver.WorkspaceSpec, ended driver.Run) bool {
	finished := w.Process.Mode == driver.ModeTask && ended.Phase == driver.PhaseFinished
	return !ended.Stopped && ended.Ready != nil && !finished
}

// lossSteps are what keeps what the run that has just ended cost. Killed before the last, the next who looks does the rest.
func (s *supervisor) lossSteps() []func() error {
	s.mu.Lock()
	ended, next := s.last, s.run
	s.mu.Unlock()
	if ended == nil || !costs(s.spec.Workspace, *ended) {
		return nil
	}
	l := lossOf(s.spec.Workspace, *ended, s.attached().Left())
	if next.ID != ended.ID {
		l.Restarted, l.Next = true, next.Restarts.Next
	}
	return keepSteps(s.state, s.spec.Workspace, l)
}

// keepSteps are what keeps a loss: the record, which tells that the loss is kept, comes last.
func keepSteps(state layout.State, w driver.WorkspaceSpec, l driver.Loss) []func() error {
	return []func() error{
		func() error { return recordLoss(state, w, l) },
		func() error { return control.WriteLoss(state.Workspace(w.Name), l) },
	}
}

// noteLost keeps what ends of runs cost whose supervisor was killed before it had.
func (s *supervisor) noteLost() {
	before, err := control.ReadRun(s.folder)
	if err != nil || before == nil {
		return
	}
	if err := noteUnkept(s.state, s.spec.Workspace, *before, s.attached().Left); err != nil {
		s.log.Error("keep what was lost", "error", err)
	}
}

// Unkept says of the newest run of a workspace, whose supervisor is gone, which ends nobody kept the cost of: that of the run
// before it, and its own. kept is the newest loss.
func Unkept(run driver.Run, kept *driver.Loss) (before, own bool) {
	has := ""
	if kept != nil {
		has = kept.Run
	}
	if run.Phase.Alive() || has == run.ID {
		return false, false
	}
	return run.LossOf != "" && run.LossOf != run.ID && run.LossOf != has, run.Phase == driver.PhaseLost || run.LossOf == run.ID
}

// NoteLost keeps what is Unkept, of a workspace that nobody else works on.
func NoteLost(state layout.State, w driver.WorkspaceSpec, run driver.Run) error {
	return noteUnkept(state, w, run, func() []driver.LostImage { return attach.LeftBy(state, w) })
}

// noteUnkept is NoteLost, where left gives the workspace's disks as the end left them.
func noteUnkept(state layout.State, w driver.WorkspaceSpec, run driver.Run, left func() []driver.LostImage) error {
	kept, _, err := control.ReadLoss(state.Workspace(w.Name))
	if err != nil {
		kept = nil // the record is replaced
	}
	before, own := Unkept(run, kept)
	var losses []driver.Loss
	if before { // which began nothing since
		losses = append(losses, driver.Loss{
			Run: run.LossOf, At: run.Started, Why: run.Restarts.Why, RootFS: driver.RootFSKept, Images: left(), Task: w.Process.Mode == driver.ModeTask,
			Restarted: true, Next: run.Restarts.Next,
		})
	}
	if own {
		losses = append(losses, lossOf(w, run, left()))
	}
	for _, l := range losses {
		steps := keepSteps(state, w, l)
		if told, err := lossIsTold(state, w, l.Run); err != nil {
			return err
		} else if told {
			steps = steps[1:]
		}
		for _, step := range steps {
			if err := step(); err != nil {
				return err
			}
		}
	}
	return nil
}

func lossOf(w driver.WorkspaceSpec, ended driver.Run, left []driver.LostImage) driver.Loss {
	l := driver.Loss{
		Run: ended.ID, At: now(), Why: why(w, ended), RootFS: driver.RootFSKept, Images: left,
		Task: w.Process.Mode == driver.ModeTask,
	}
	if ended.Ended != nil {
		l.At = *ended.Ended
	}
	return l
}

func recordLoss(state layout.State, w driver.WorkspaceSpec, l driver.Loss) error {
	data, err := json.Marshal(l)
	if err != nil {
		return err
	}
	return record(state, w, event.Event{Type: event.TypeEnded, Error: l.Why, Loss: data})
}

// lossIsTold says whether the history has what the end of a run cost.
func lossIsTold(state layout.State, w driver.WorkspaceSpec, run string) (told bool, err error) {
	if w.Project == "" {
		return false, nil
	}
	err = project.New(state, "").Read(context.Background(), w.Project, false, func(line []byte) error {
		var e event.Event
		var l driver.Loss
		if json.Unmarshal(line, &e) == nil && e.Type == event.TypeEnded && json.Unmarshal(e.Loss, &l) == nil && l.Run == run {
			told = true
		}
		return nil
	})
	return told, err
}

// tell records what happened by itself in the history of the project.
func (s *supervisor) tell(e event.Event) {
	if err := record(s.state, s.spec.Workspace, e); err != nil {
		s.log.Error("record in the project's history", "error", err)
	}
}

// record keeps an event of a workspace in the history of its project, if it has one.
func record(state layout.State, w driver.WorkspaceSpec, e event.Event) error {
	if w.Project == "" {
		return nil
	}
	e.Time, e.Address = time.Now(), "workspace/"+strings.TrimPrefix(w.Name, w.Project+".")
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return project.New(state, "").Record(w.Project, line)
}
