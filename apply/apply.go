// Package apply executes a plan and decides nothing: every choice was made when the plan was computed. It walks the
// plan's graph with bounded parallelism, reports what it does as events, and after a failure or an interrupt lets
// what runs finish and starts nothing new. Running it again after any end converges. The commands import it.
//
// It never opens a manifest, never asks a question and never deletes a volume.
package apply

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"time"

	"microagent/apply/folder"
	"microagent/apply/refresh"
	"microagent/plan"
	"microagent/plan/planfile"
	"microagent/runtime/driver"
	"microagent/runtime/event"
)

// Options say how to walk.
type Options struct {
	Parallel int           // changes at once; 0: twice the CPUs, ten at most
	LockWait time.Duration // how long to wait for another apply in the project
	Events   event.Sink    // nil: none
	Saved    bool          // the plan was saved: look at the files it would read or replace before anything starts
	// KeepGoing starts, after a failure, what does not rest on what failed. A destroy always does.
	KeepGoing bool
	// WaitTimeout bounds how long each workspace with a probe is waited for, once it was started; 0 is as long as its
	// probe may take. NoWait waits for none.
	WaitTimeout time.Duration
	NoWait      bool
	// Fresh has every guest boot that is started, where it could be a copy of one that was booted before.
	Fresh bool
}

func (o Options) parallel() int {
	if o.Parallel > 0 {
		return o.Parallel
	}
	return min(10, 2*runtime.NumCPU())
}

// StaleError says that the world moved between plan and apply.
type StaleError struct{ Moved []string }

func (e *StaleError) Error() string {
	return "since it was made, " + strings.Join(e.Moved, ", ")
}

// Is makes it an error of class driver.ErrStale.
func (e *StaleError) Is(target error) bool { return target == driver.ErrStale }

// Run executes p. The error is about what kept it from starting: the lock, a stale plan, a folder that can't be
// opened. What happened after that is in the result. Ending ctx is the interrupt.
func Run(ctx context.Context, d driver.Set, p *plan.Plan, files *folder.Folder, o Options) (*Result, error) {
	if o.Events == nil {
		o.Events = event.Discard
	}
	if n := len(p.Refusals); n > 0 {
		return nil, &driver.Error{Class: driver.ErrRefused, Op: "apply plan of project", Object: p.Project,
			Err: fmt.Errorf("%d things forbid it: %s", n, p.Refusals[0].Summary), Next: "microagent plan"}
	}
	unlock, err := lockAll(ctx, d, p, o)
	if err != nil {
		return nil, err
	}
	defer unlock()
	release, err := d.Images.Use(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	if !p.Destroy {
		files.Claim(claims(p))
	}
	if err := checkStale(ctx, d, p, files, o.Saved); err != nil {
		return nil, err
	}
	Announce(o.Events, p)
	r := &run{drivers: d, plan: p, files: files, events: o.Events, images: map[string]driver.Image{},
		digests: map[string]string{}, waitTimeout: o.WaitTimeout, noWait: o.NoWait, fresh: o.Fresh}
	if !p.Destroy {
		err := r.recordProject(ctx, func(record *driver.Project) {
			record.Manifest = p.Manifest
			if from := p.MovedFrom(); len(from) > 0 { // whoever comes after an interruption goes on
				record.MovingFrom = from[0]
			}
		})
		if err != nil {
			return nil, err
		}
	}
	res := r.walk(ctx, o.parallel(), o.KeepGoing || p.Destroy)
	if p.Destroy && len(res.Failed) == 0 && len(res.Cut) == 0 && len(res.NotStarted) == 0 {
		if err := r.forgetProject(context.WithoutCancel(ctx)); err != nil {
			res.Failed = append(res.Failed, Failure{Address: plan.Address{Kind: plan.KindProject, Name: p.Project}, Action: plan.ActionDelete, Err: err})
		}
	}
	return res, nil
}

// Settled says whether a plan that found nothing to do may be believed: not while another apply works on the project,
// which may fail yet. ErrLocked then; after waiting for it, up to wait, a *StaleError: the plan is to be made again.
func Settled(ctx context.Context, d driver.Set, project string, wait time.Duration) error {
	err := d.Projects.Locked(ctx, project)
	if err == nil || !errors.Is(err, driver.ErrLocked) || wait <= 0 {
		return err
	}
	unlock, err := d.Projects.Lock(ctx, project, wait)
	if err != nil {
		return err
	}
	unlock()
	return &StaleError{[]string{"project/" + project}}
}

// lockAll takes the locks of the project and of those that become it, in one order for all.
func lockAll(ctx context.Context, d driver.Set, p *plan.Plan, o Options) (func(), error) {
	var held []func()
	unlock := func() {
		for _, one := range slices.Backward(held) {
			one()
		}
	}
	for _, name := range slices.Sorted(slices.Values(append(p.MovedFrom(), p.Project))) {
		one, err := d.Projects.Lock(ctx, name, o.LockWait)
		if err != nil {
			unlock()
			return nil, err
		}
		held = append(held, one)
	}
	return unlock, nil
}

func checkStale(ctx context.Context, d driver.Set, p *plan.Plan, files *folder.Folder, saved bool) error {
	records, err := refresh.Records(ctx, d)
	if err != nil {
		return err
	}
	moved := append(planfile.Stale(p, maps.Clone(records)), goneImages(ctx, d, p)...)
	if saved {
		moved = append(moved, movedInputs(ctx, d, p, files)...)
	}
	if len(moved) > 0 {
		return &driver.Error{Class: driver.ErrStale, Op: "apply plan of project", Object: p.Project,
			Err: &StaleError{moved}, Next: "make a new plan: microagent plan"}
	}
	return nil
}
