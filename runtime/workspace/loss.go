package workspace

import (
	"context"

	"microagent/runtime/driver"
	"microagent/runtime/lease"
	"microagent/runtime/supervise"
	"microagent/runtime/supervise/control"
)

// loss is what the newest end cost that nobody asked for. That of a run whose supervisor was killed before it had kept it is
// kept by the first who looks, and can: nobody else did.
func (s *Store) loss(r *record, run *driver.Run) (l *driver.Loss, shown bool, err error) {
	folder := s.State.Workspace(r.Name)
	l, shown, err = control.ReadLoss(folder)
	if err != nil || run == nil || !unkept(*run, l) {
		return l, shown, err
	}
	unlock, err := s.State.Lock(context.Background(), kind, r.Name, 0)
	if err != nil {
		return nil, false, nil // somebody works on it, or it is only to be read
	}
	defer unlock()
	if now, err := control.ReadRun(folder); err != nil || now == nil || now.ID != run.ID || !unkept(*now, l) {
		return nil, false, err
	}
	if held, _, err := lease.Probe(folder.RootFS()); err != nil || held { // its VMM is still there
		return nil, false, nil
	}
	if err := supervise.NoteLost(s.State, r.Spec, *run); err != nil {
		return nil, false, nil // it is tried again by the next
	}
	return control.ReadLoss(folder)
}

func unkept(run driver.Run, kept *driver.Loss) bool {
	before, own := supervise.Unkept(run, kept)
	return before || own
}

// NoteLossShown is kept beside the record of the loss, which is not touched.
func (s *Store) NoteLossShown(_ context.Context, name, run string) error {
	const op = "note what was shown of workspace"
	if _, err := s.need(op, name); err != nil {
		return err
	}
	if err := control.NoteShown(s.State.Workspace(name), run); err != nil {
		return &driver.Error{Op: op, Object: name, Err: err}
	}
	return nil
}
