package apply

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"microagent/apply/folder"
	"microagent/plan"
	"microagent/runtime/driver"
	"microagent/runtime/event"
)

// stillWaiting is how often a long change says that it goes on, stillEnding how long after an interrupt the user is
// told what is waited for.
const (
	stillWaiting = 10 * time.Second
	stillEnding  = 300 * time.Millisecond
)

// run is one walk over a plan.
type run struct {
	drivers driver.Set
	plan    *plan.Plan
	files   *folder.Folder
	events  event.Sink

	waitTimeout time.Duration
	noWait      bool
	fresh       bool

	mu           sync.Mutex
	images       map[string]driver.Image // pulled in this walk, by reference as written; looked at in it, by digest
	stillRunning []string
	notable      map[plan.Address]driver.Fetched // outputs
	digests      map[string]string               // of bundles that are made of outputs, by name in the manifest

	begun func(plan.Address) // tells the walk that a change has come so far that what it starts runs

	looked int // how often a change was asked whether it can begin; of the walk's own goroutine

	waitShown bool // what is waited for after the interrupt was shown; of the walk's own goroutine

	recording sync.Mutex // held while the project's record is changed
}

// errStillRunning ends a wait that the user interrupted: the task itself goes on.
var errStillRunning = errors.New("interrupted while waiting; the task goes on")

type outcome struct {
	index int
	begun bool // it has begun what others wait for, and goes on
	err   error
}

// walk runs every change once its dependencies are done. All bookkeeping is in this goroutine; the changes run in
// others, and all of them have ended when it returns. After a failure it starts nothing but what saves an output, unless
// keepGoing has it start whatever does not rest on what failed.
func (r *run) walk(ctx context.Context, parallel int, keepGoing bool) *Result {
	res := &Result{}
	byAddress := map[plan.Address]int{}
	var pending []int
	for i := range r.plan.Changes {
		if r.plan.Changes[i].Does() {
			byAddress[r.plan.Changes[i].Address] = i
			pending = append(pending, i)
		}
	}
	failed := map[plan.Address]error{}
	done, begun := map[plan.Address]bool{}, map[plan.Address]bool{}
	outcomes := make(chan outcome)
	r.begun = func(a plan.Address) { outcomes <- outcome{index: byAddress[a], begun: true} }
	running := 0

	for {
		stop := ctx.Err() != nil || !keepGoing && rootCause(failed)
		var later []int
		for at, i := range pending {
			if running >= parallel && len(failed) == 0 { // then nothing can begin, and nothing is skipped
				later = waiting(later, pending[at:])
				break
			}
			c := &r.plan.Changes[i]
			r.looked++
			ready, because := readiness(c, byAddress, done, begun, failed)
			switch {
			case because != (plan.Address{}):
				r.skip(res, c, because)
				failed[c.Address] = errSkipped
			case !ready, running >= parallel, stop && (ctx.Err() != nil || !savesOutput(c, failed)):
				later = append(later, i)
			default:
				if !r.needed(c) {
					res.Unneeded = append(res.Unneeded, c.Address)
					done[c.Address] = true
					continue
				}
				running++
				failedTask := taskBefore(c, failed)
				go func() { outcomes <- outcome{index: i, err: r.do(ctx, c, failedTask != plan.Address{})} }()
			}
		}
		progress := len(later) < len(pending)
		pending = later
		if running == 0 {
			if !progress || len(pending) == 0 {
				break
			}
			continue
		}
		out := r.next(ctx, outcomes)
		c := &r.plan.Changes[out.index]
		if out.begun {
			begun[c.Address] = true
			continue
		}
		running--
		switch {
		case out.err == nil:
			done[c.Address] = true
			res.Done = append(res.Done, c.Address)
		case errors.Is(out.err, errStillRunning):
			failed[c.Address] = errSkipped
		case followsFailure(out.err, taskBefore(c, failed) != plan.Address{}):
			failed[c.Address] = errSkipped
			r.skip(res, c, taskBefore(c, failed))
		case cut(ctx, out.err):
			failed[c.Address] = errSkipped
			res.Cut = append(res.Cut, Skipped{Address: c.Address, Action: c.Action})
		default:
			failed[c.Address] = out.err
			res.Failed = append(res.Failed, failureOf(c, out.err))
		}
	}
	for _, i := range pending {
		r.skip(res, &r.plan.Changes[i], plan.Address{})
	}
	res.Interrupted = ctx.Err() != nil
	res.GoesOn, res.Notable = r.stillRunning, r.notable
	return res
}

// waiting is before and rest behind each other, without a copy where that goes.
func waiting(before, rest []int) []int {
	if len(before) == 0 {
		return rest
	}
	return append(before, rest...)
}

// needed says whether a change whose turn it is has a cause, and tells when it has none.
func (r *run) needed(c *plan.Change) bool {
	r.mu.Lock()
	needed := c.Needed(r.digests)
	if !needed && c.Address.Kind == plan.KindBundle {
		r.digests[c.Address.Name] = c.Bundle.Was
	}
	r.mu.Unlock()
	if !needed {
		r.events.Emit(event.Event{Type: event.TypeUnneeded, Time: time.Now(), Address: c.Address.String(), Action: string(c.Action)})
	}
	return needed
}

// next is the next change to end. After an interrupt it says what is waited for, unless that ends at once.
func (r *run) next(ctx context.Context, outcomes <-chan outcome) outcome {
	if !r.waitShown {
		select {
		case out := <-outcomes:
			return out
		case <-ctx.Done():
		}
		select {
		case out := <-outcomes:
			return out
		case <-time.After(stillEnding):
			r.waitShown = true
			r.events.Emit(event.Event{Type: event.TypeNote, Time: time.Now(), Address: "project/" + r.plan.Project,
				Message: "interrupted: what has begun is brought to its end first; interrupt again to leave at once"})
		}
	}
	return <-outcomes
}

// cut says that err is nothing but the interrupt.
func cut(ctx context.Context, err error) bool {
	return ctx.Err() != nil && errors.Is(err, context.Canceled)
}

// errSkipped marks what did not fail itself.
var errSkipped = errors.New("skipped")

func rootCause(failed map[plan.Address]error) bool {
	for _, err := range failed {
		if !errors.Is(err, errSkipped) {
			return true
		}
	}
	return false
}

// readiness says whether all dependencies of c are done, or which of them will never be.
func readiness(c *plan.Change, byAddress map[plan.Address]int, done, begun map[plan.Address]bool, failed map[plan.Address]error) (bool, plan.Address) {
	ready := true
	for _, dep := range c.Needs() {
		if _, known := byAddress[dep]; !known || done[dep] || begun[dep] && !slices.Contains(c.Deps, dep) {
			continue
		}
		err, bad := failed[dep]
		if bad && !leavesOutput(c, err) {
			return false, dep
		}
		if !bad {
			ready = false
		}
	}
	return ready, plan.Address{}
}

// leavesOutput says that c can be done although its dependency failed with err: a task that ended with an error has
// left its outputs all the same.
func leavesOutput(c *plan.Change, err error) bool {
	var te *TaskError
	return c.Address.Kind == plan.KindOutput && errors.As(err, &te)
}

func savesOutput(c *plan.Change, failed map[plan.Address]error) bool {
	return taskBefore(c, failed) != plan.Address{}
}

// taskBefore is the failed task whose output c collects, the zero value when there is none.
func taskBefore(c *plan.Change, failed map[plan.Address]error) plan.Address {
	for _, dep := range c.Deps {
		if err, bad := failed[dep]; bad && leavesOutput(c, err) {
			return dep
		}
	}
	return plan.Address{}
}

// followsFailure says that err is told by its task's failure already: a task that failed did not come to write its
// output.
func followsFailure(err error, taskFailed bool) bool {
	_, missing := errors.AsType[*missingOutputError](err)
	return taskFailed && missing
}

func (r *run) skip(res *Result, c *plan.Change, because plan.Address) {
	res.NotStarted = append(res.NotStarted, Skipped{c.Address, c.Action, because})
	e := event.Event{Type: event.TypeSkipped, Time: time.Now(), Address: c.Address.String(), Action: string(c.Action)}
	if because != (plan.Address{}) {
		e.Because = because.String()
	}
	r.events.Emit(e)
}

// do runs one change and tells about it. taskFailed says that c collects an output of a task that failed.
func (r *run) do(ctx context.Context, c *plan.Change, taskFailed bool) error {
	began := time.Now()
	tell := func(t event.Type, fill func(*event.Event)) {
		e := event.Event{Type: t, Time: time.Now(), Address: c.Address.String(), Action: string(c.Action),
			Elapsed: time.Since(began).Round(time.Millisecond).Seconds()}
		if fill != nil {
			fill(&e)
		}
		r.events.Emit(e)
	}
	tell(event.TypeStart, nil)
	ended := make(chan struct{})
	var ticking sync.WaitGroup
	ticking.Go(func() {
		t := time.NewTicker(stillWaiting)
		defer t.Stop()
		for {
			select {
			case <-ended:
				return
			case <-t.C:
				tell(event.TypeWaiting, nil)
			}
		}
	})
	err := r.execute(ctx, c, func(what string, done, total int64) {
		tell(event.TypeProgress, func(e *event.Event) { e.Message, e.Done, e.Total = what, done, total })
	})
	close(ended)
	ticking.Wait()
	if err == nil {
		tell(event.TypeDone, nil)
		return nil
	}
	if followsFailure(err, taskFailed) {
		return err
	}
	if errors.Is(err, errStillRunning) || cut(ctx, err) {
		tell(event.TypeCut, nil)
		return err
	}
	tell(event.TypeFailed, func(e *event.Event) {
		e.Error, e.Next, e.Did = err.Error(), driver.Next(err), failureOf(c, err).Did
		if ended, ok := errors.AsType[ProcessError](err); ok {
			e.ExitCode, _ = ended.Ended()
		}
	})
	return err
}
