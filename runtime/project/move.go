package project

import (
	"context"
	"errors"
	"maps"

	"microagent/runtime/driver"
	"microagent/runtime/machine/rotate"
)

// Move ends a move of a project: its history comes first, then the record that says so, and what is left of it goes. Cut
// short anywhere, it is done again.
func (s *Store) Move(ctx context.Context, from, to string) error {
	const op = "move project"
	if err := errors.Join(validProject(op, from), validProject(op, to)); err != nil {
		return err
	}
	if from == to {
		return &driver.Error{Class: driver.ErrInvalid, Op: op, Object: from, Err: errors.New("that is its name already"), Next: "microagent status --all"}
	}
	for _, step := range s.moveSteps(ctx, from, to) {
		if err := step(); err != nil {
			return &driver.Error{Op: op, Object: from, Err: err, Next: driver.Next(err)}
		}
	}
	return nil
}

// moveSteps are what a move does, each whole.
func (s *Store) moveSteps(ctx context.Context, from, to string) []func() error {
	return []func() error{
		func() error {
			return rotate.Prepend(s.state.ProjectEvents(to), s.state.ProjectEvents(from), historyPart)
		},
		func() error { return s.join(ctx, from, to) },
		func() error { return rotate.Remove(s.state.ProjectEvents(from)) },
		func() error { return s.Delete(ctx, from) },
	}
}

// join makes what from brought to the host to's. What to says itself counts.
func (s *Store) join(ctx context.Context, from, to string) error {
	old, err := s.Get(ctx, from)
	if errors.Is(err, driver.ErrNotFound) {
		old, err = driver.Project{}, nil
	}
	if err != nil {
		return err
	}
	now, err := s.Get(ctx, to)
	if err != nil && !errors.Is(err, driver.ErrNotFound) {
		return err
	}
	outputs := maps.Clone(old.Outputs)
	if outputs == nil {
		outputs = map[string]string{}
	}
	maps.Copy(outputs, now.Outputs)
	if now.Name == "" {
		now.Manifest = old.Manifest
	}
	now.Name, now.Outputs, now.MovingFrom = to, outputs, ""
	return s.Put(ctx, now)
}
