package readiness

import (
	"time"

	"microagent/runtime/driver"
	"microagent/schema/spec"
)

// Judge makes of probes what a workspace is.
//
//	          passes
//	waiting ──────────> ready ────────────> lost
//	    │               ^   ^   fails, as     │
//	    │ fails, as often   │   often as may  │
//	    │ as may be     │   └─────────────────┘
//	    └─> never ──────┘          passes
//	            passes
type Judge struct {
	spec   spec.Ready
	began  time.Time
	failed int // in a row
	count  int // that failed and counted, in all; one that can't be made as often as gives it up
	now    driver.Readiness
}

// NewJudge is of a workspace that was started at a moment.
func NewJudge(r spec.Ready, began time.Time) *Judge {
	return &Judge{spec: r, began: began, now: driver.Readiness{Probe: r.Probe(), State: driver.ReadyWaiting, Since: began.UTC()}}
}

// State is what it is now.
func (j *Judge) State() driver.Readiness { return j.now }

// Count is how many probes failed that counted: within the start period none does. A probe that can't be made counts for as
// many as give a workspace up.
func (j *Judge) Count() int { return j.count }

// enough is how many failures in a row give it up.
func (j *Judge) enough() int { return max(j.spec.Failures, 1) }

// Passed takes a probe that passed, and says whether that makes it another.
func (j *Judge) Passed(at time.Time) (changed bool) {
	j.failed, j.now.Words = 0, ""
	return j.become(driver.ReadyYes, at)
}

// Failed takes a probe that failed.
func (j *Judge) Failed(at time.Time, words string) (changed bool) {
	j.now.Words = words
	waits := j.now.State == driver.ReadyWaiting
	if waits && at.Sub(j.began) < j.spec.StartPeriod {
		return false
	}
	j.count++
	if j.failed++; j.failed < j.enough() {
		return false
	}
	return j.give(at)
}

// Broken takes a probe that can't be made: waiting for one that passes is of no use.
func (j *Judge) Broken(at time.Time, words string) (changed bool) {
	j.count += j.enough()
	if j.now.State != driver.ReadyWaiting {
		j.count-- // which Failed counts
		return j.Failed(at, words)
	}
	j.now.Words = words
	return j.give(at)
}

// give gives it up.
func (j *Judge) give(at time.Time) bool {
	switch j.now.State {
	case driver.ReadyWaiting:
		return j.become(driver.ReadyNever, at)
	case driver.ReadyYes:
		return j.become(driver.ReadyLost, at)
	}
	return false
}

func (j *Judge) become(s driver.ReadyState, at time.Time) bool {
	if j.now.State == s {
		return false
	}
	j.now.State, j.now.Since = s, at.UTC()
	return true
}
