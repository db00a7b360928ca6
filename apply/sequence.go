package apply

import (
	"context"
	"fmt"
	"runtime"
	"slices"

	"microagent/apply/refresh"
	"microagent/runtime/driver"
	"microagent/schema"
	"microagent/schema/spec"
)

// Sequence is several workspaces that a user stops or starts by hand, in the order that their manifests gave them: what comes
// after another goes down before it and up after it. Each of them has to leave the sequence.
type Sequence struct {
	first map[string][]spec.After // those of the others that come before
	then  map[string][]string
	down  map[string]*gate
	up    map[string]*gate
	slots chan struct{} // one for each that is worked on at once
}

// gate is passed once something was done.
type gate struct {
	open chan struct{}
	err  error // why it was not done
}

func (g *gate) pass(err error) {
	select {
	case <-g.open:
	default:
		g.err = err
		close(g.open)
	}
}

// NewSequence is of those workspaces. One that comes after another by way of some of all, which are not of the sequence and stay
// as they are, comes after it all the same.
func NewSequence(list, all []driver.Workspace) *Sequence {
	s := &Sequence{first: map[string][]spec.After{}, then: map[string][]string{}, down: map[string]*gate{}, up: map[string]*gate{},
		slots: make(chan struct{}, min(10, 2*runtime.NumCPU()))}
	for _, ws := range list {
		s.down[ws.Spec.Name], s.up[ws.Spec.Name] = &gate{open: make(chan struct{})}, &gate{open: make(chan struct{})}
	}
	before := map[string][]spec.After{}
	for _, ws := range slices.Concat(all, list) {
		before[ws.Spec.Name] = firstOf(ws)
	}
	first := map[string][]schema.First{}
	for _, ws := range list {
		name := ws.Spec.Name
		first[name] = nil
		seen := map[string]bool{name: true}
		for open := slices.Clone(before[name]); len(open) > 0; open = open[1:] {
			a := open[0]
			switch {
			case seen[a.Workspace]:
				continue
			case s.up[a.Workspace] != nil:
				first[name] = append(first[name], schema.First{After: a})
			default:
				open = append(open, before[a.Workspace]...)
			}
			seen[a.Workspace] = true
		}
	}
	order := schema.NewOrder(first) // records of several applies could make a circle, which is cut
	for name, list := range first {
		for _, f := range list {
			if order.Before(f.Workspace, name) {
				s.first[name] = append(s.first[name], f.After)
				s.then[f.Workspace] = append(s.then[f.Workspace], name)
			}
		}
	}
	return s
}

// firstOf gives what comes before a workspace, by names on disk. A workspace that no manifest made comes after nothing.
func firstOf(ws driver.Workspace) []spec.After {
	if ws.Spec.Project == "" || len(ws.Spec.Applied) == 0 {
		return nil
	}
	want, err := refresh.Applied(ws.Spec)
	if err != nil {
		return nil
	}
	var list []spec.After
	for _, a := range want.After {
		a.Workspace = ws.Spec.Project + "." + a.Workspace
		list = append(list, a)
	}
	return list
}

// AwaitedReady says whether any of all comes after a workspace once that is ready.
func AwaitedReady(all []driver.Workspace, name string) bool {
	return slices.ContainsFunc(all, func(ws driver.Workspace) bool {
		return slices.Contains(firstOf(ws), spec.After{Workspace: name, Until: spec.UntilReady})
	})
}

// Needed says how far a workspace has to be for those of the sequence that come after it; "" when none does.
func (s *Sequence) Needed(name string) spec.Until {
	var until spec.Until
	for _, then := range s.then[name] {
		for _, a := range s.first[then] {
			if a.Workspace == name && until != spec.UntilCompleted && until != spec.UntilReady {
				until = a.Until
			}
		}
	}
	return until
}

// Down does what takes a workspace down once all that come after it have gone down, or could not.
func (s *Sequence) Down(ctx context.Context, name string, do func() error) error {
	var waits []*gate
	for _, n := range s.then[name] {
		waits = append(waits, s.down[n])
	}
	return s.turn(ctx, waits, s.down[name], do)
}

// Up does what brings a workspace up once all that come before it are up. When one of them is not, it is not done.
func (s *Sequence) Up(ctx context.Context, name string, do func() error) error {
	var waits []*gate
	for _, a := range s.first[name] {
		waits = append(waits, s.up[a.Workspace])
	}
	return s.turn(ctx, waits, s.up[name], func() error {
		for _, a := range s.first[name] {
			if s.up[a.Workspace].err != nil {
				return &driver.Error{Class: driver.ErrGuest, Op: "start workspace", Object: name,
					Err: fmt.Errorf("it was not started: it comes after %s, which is not %s", a.Workspace, a.Until), Next: "microagent start " + name}
			}
		}
		return do()
	})
}

func (s *Sequence) turn(ctx context.Context, waits []*gate, own *gate, do func() error) (err error) {
	defer func() { own.pass(err) }()
	for _, g := range waits {
		select {
		case <-g.open:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.slots <- struct{}{}
	defer func() { <-s.slots }()
	return do()
}

// Leave takes a workspace out that goes no further, because of err unless it was done with: nobody waits for it.
func (s *Sequence) Leave(name string, err error) {
	s.down[name].pass(err)
	s.up[name].pass(err)
}
