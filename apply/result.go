package apply

import (
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/go-multierror"

	"microagent/plan"
	"microagent/runtime/driver"
)

// Result is what became of a plan's changes.
type Result struct {
	Done       []plan.Address
	Unneeded   []plan.Address // done only for a cause, and none came
	Failed     []Failure      // root causes only
	Cut        []Skipped      // begun, and ended by the interrupt without a trace
	NotStarted []Skipped
	// Interrupted says that nothing new was started because the caller asked to stop.
	Interrupted bool
	// GoesOn are the workspaces whose task was started and is no longer waited for.
	GoesOn []string
	// Notable are the outputs that were brought out and of which something is to be known; see driver.Fetched.Notes.
	Notable map[plan.Address]driver.Fetched
}

// Failure is a change that did not work.
type Failure struct {
	Address plan.Address
	Action  plan.Action
	Err     error
	// Did is what of the change was done before it failed, in words: "created", "started". It stays so.
	Did []string
}

// partlyError is that of a change of which a part was done. It says no more than its cause does.
type partlyError struct {
	did []string
	err error
}

func (e *partlyError) Error() string { return e.err.Error() }
func (e *partlyError) Unwrap() error { return e.err }

// failureOf is the failure of a change with err.
func failureOf(c *plan.Change, err error) Failure {
	f := Failure{Address: c.Address, Action: c.Action, Err: err}
	if part, ok := err.(*partlyError); ok {
		f.Did, f.Err = part.did, part.err
	}
	return f
}

// Changed says whether anything was done, be it a part of a change that failed.
func (r *Result) Changed() bool {
	return len(r.Done) > 0 || slices.ContainsFunc(r.Failed, func(f Failure) bool { return len(f.Did) > 0 })
}

// Skipped is a change that was not started. Because is the change it would have needed, the zero value when
// the walk had simply stopped.
type Skipped struct {
	Address plan.Address
	Action  plan.Action
	Because plan.Address
}

// Err is nil when everything was done; otherwise every root cause, each with its address.
func (r *Result) Err() error {
	var list *multierror.Error
	for _, f := range r.Failed {
		list = multierror.Append(list, &ChangeError{Address: f.Address, Action: f.Action, Err: f.Err})
	}
	return list.ErrorOrNil()
}

// ChangeError is one change's failure.
type ChangeError struct {
	Address plan.Address
	Action  plan.Action
	Err     error
}

func (e *ChangeError) Error() string { return fmt.Sprintf("%s %s: %v", e.Action, e.Address, e.Err) }
func (e *ChangeError) Unwrap() error { return e.Err }

// ProcessError is a guest's process that ended otherwise than it should: a *TaskError or a *ServiceError.
type ProcessError interface {
	error
	// Ended gives the exit code, nil when there is none, and the last lines that it wrote.
	Ended() (code *int, written []Line)
}

var (
	_ ProcessError = (*TaskError)(nil)
	_ ProcessError = (*ServiceError)(nil)
)

// ServiceError says that a service ended as soon as it was started.
type ServiceError struct {
	Workspace string
	ExitCode  *int   // nil when the process did not end by itself
	Reason    string // why the run failed, when ExitCode is nil
	Written   []Line // its last lines
	// OutOfMemory is as that of a TaskError.
	OutOfMemory string
}

// because is a reason behind a sentence; "" is none.
func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + why
}

func (e *ServiceError) Error() string {
	if e.ExitCode != nil {
		return fmt.Sprintf("it ended at once, with code %d%s", *e.ExitCode, because(e.OutOfMemory))
	}
	return "it ended at once: " + e.Reason
}

// Ended implements ProcessError.
func (e *ServiceError) Ended() (code *int, written []Line) { return e.ExitCode, e.Written }

// TaskError says that a task ran and ended with another code than 0.
type TaskError struct {
	Workspace string
	ExitCode  int
	TimedOut  bool
	Timeout   time.Duration // what it was allowed, when it timed out
	Written   []Line        // its last lines
	// OutOfMemory says that its guest had too little memory for it, and what to do; "" when that is not how it ended.
	OutOfMemory string
}

func (e *TaskError) Error() string {
	if e.TimedOut {
		return fmt.Sprintf("task of workspace %s ran longer than its timeout of %s", e.Workspace, e.Timeout)
	}
	return fmt.Sprintf("task of workspace %s exited with code %d%s", e.Workspace, e.ExitCode, because(e.OutOfMemory))
}

// Ended implements ProcessError.
func (e *TaskError) Ended() (code *int, written []Line) { return &e.ExitCode, e.Written }
