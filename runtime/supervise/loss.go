package supervise

import (
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

// noteLoss keeps what the run that has just ended cost, when nobody asked for that: a task that ended by itself has left
// what it was to leave.
func (s *supervisor) noteLoss() {
	s.mu.Lock()
	ended, next := s.last, s.run
	s.mu.Unlock()
	if ended == nil || ended.Stopped || ended.Ready == nil || s.spec.Workspace.Process.Mode == driver.ModeTask && ended.Phase == driver.PhaseFinished {
		return
	}
	l := lossOf(s.spec.Workspace, *ended, s.attached().Left())
	if next.ID != ended.ID {
		l.Restarted, l.Next = true, next.Restarts.Next
	}
	s.keepLoss(l)
}

// noteLost is noteLoss of the run before this supervisor's, whose own was killed.
func (s *supervisor) noteLost() {
	before, err := control.ReadRun(s.folder)
	if err != nil || before == nil || before.Phase != driver.PhaseLost {
		return
	}
	if kept, _, err := control.ReadLoss(s.folder); err == nil && kept != nil && kept.Run == before.ID {
		return
	}
	s.keepLoss(lossOf(s.spec.Workspace, *before, s.attached().Left()))
}

func (s *supervisor) keepLoss(l driver.Loss) {
	if err := keepLoss(s.state, s.spec.Workspace, l); err != nil {
		s.log.Error("keep what was lost", "error", err)
	}
}

// NoteLost keeps what the end of a run cost whose supervisor was killed, of a workspace that nobody else works on.
func NoteLost(state layout.State, w driver.WorkspaceSpec, run driver.Run) error {
	return keepLoss(state, w, lossOf(w, run, attach.LeftBy(state, w)))
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

func keepLoss(state layout.State, w driver.WorkspaceSpec, l driver.Loss) error {
	if err := control.WriteLoss(state.Workspace(w.Name), l); err != nil {
		return err
	}
	data, err := json.Marshal(l)
	if err != nil {
		return err
	}
	return record(state, w, event.Event{Type: event.TypeEnded, Error: l.Why, Loss: data})
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
