package cli

import (
	"context"
	"errors"
	"slices"

	"microagent/apply"
	"microagent/runtime/driver"
)

// severalText is what the help of a command says that takes several names.
const severalText = "Several are done side by side, each also if another fails; the exit code is that of the first in their order\n" +
	"that failed. With --json each that was done is a record, of several one a line."

// sequenceText is the help on order, of a command that stops or starts several.
const sequenceText = "What comes after another of them, as their manifests' after says, goes down before it and up after it.\n"

// severalError is what went wrong with some of several, in the order of their names.
type severalError []error

func (e severalError) Error() string   { return errors.Join(e...).Error() }
func (e severalError) Unwrap() []error { return e }

// of is the error of several: one alone is itself.
func (e severalError) of() error {
	switch len(e) {
	case 0:
		return nil
	case 1:
		return e[0]
	}
	return e
}

// told is what became of a workspace: a record for programs and a line for people.
type told struct {
	record any
	text   string
	args   []any
}

// selected is what the user's names mean: each once, and an error in the place of a name that means nothing.
type selected struct {
	workspaces []driver.Workspace
	errs       []error // as long as workspaces
}

// names are those of the workspaces that there are.
func (s selected) names() (names []string) {
	for i, ws := range s.workspaces {
		if s.errs[i] == nil {
			names = append(names, ws.Spec.Name)
		}
	}
	return names
}

// choose finds the workspaces that the names mean.
func (a *app) choose(ctx context.Context, w *world, op string, names []string) (s selected) {
	for _, name := range names {
		ws, err := a.workspace(ctx, w, op, name)
		if err == nil && slices.ContainsFunc(s.workspaces, func(o driver.Workspace) bool { return o.Spec.Name == ws.Spec.Name }) {
			continue
		}
		s.workspaces, s.errs = append(s.workspaces, ws), append(s.errs, err)
	}
	return s
}

// unreadableToo takes in those whose record can't be understood: their name is enough to stop and to delete them.
func (s *selected) unreadableToo() {
	for i, err := range s.errs {
		if e, ok := errors.AsType[*driver.Error](err); ok && errors.Is(e.Class, driver.ErrCorrupt) {
			s.workspaces[i].Spec.Name, s.errs[i] = e.Object, nil
		}
	}
}

// inSequence does something with each workspace, in the order of seq, which has the turns of what do does: many wait for them
// at once. It tells of each in the order of their names.
func (a *app) inSequence(ctx context.Context, w *world, s selected, do func(ctx context.Context, seq *apply.Sequence, ws driver.Workspace) (told, error)) error {
	var found []driver.Workspace
	for i, ws := range s.workspaces {
		if s.errs[i] == nil {
			found = append(found, ws)
		}
	}
	var all []driver.Workspace // what is wrong with one that is not chosen is not asked here
	if len(found) > 1 {
		all, _ = w.Workspaces.List(ctx)
	}
	seq := apply.NewSequence(found, all)
	return a.each(ctx, s, func(ctx context.Context, ws driver.Workspace) (t told, err error) {
		defer func() { seq.Leave(ws.Spec.Name, err) }()
		return do(ctx, seq, ws)
	})
}

// each does something with all workspaces at once, and tells of each in the order of their names.
func (a *app) each(ctx context.Context, s selected, do func(ctx context.Context, ws driver.Workspace) (told, error)) error {
	results := make([]told, len(s.workspaces))
	over := make([]chan struct{}, len(s.workspaces))
	for i, ws := range s.workspaces {
		over[i] = make(chan struct{})
		go func() {
			defer close(over[i])
			if s.errs[i] == nil {
				results[i], s.errs[i] = do(ctx, ws)
			}
		}()
	}
	var failed severalError
	for i := range over {
		<-over[i]
		err := s.errs[i]
		if err == nil {
			err = a.tell(results[i], len(over) > 1)
		}
		if err != nil {
			failed = append(failed, err)
		}
	}
	return failed.of()
}

func (a *app) tell(t told, several bool) error {
	if a.JSON && several {
		return a.PrintLine(t.record)
	}
	return a.Said(t.record, t.text, t.args...)
}
