// Package readiness tells when a workspace is ready, by the probe that it was declared with. Package supervise imports
// it and gives it one boot of a guest at a time.
//
// Promised: a port, a file and a line of the log are told by who sees them first, the guest's agent or the supervisor
// through which the line goes, so that nobody waits for the next probe; a command is run each interval, one at a time, by the guest's
// agent. A probe that is passed costs the host nothing more. Never: a connection to a server of the guest, a decision
// on what becomes of the workspace.
package readiness

import (
	"context"
	"fmt"
	"time"

	"microagent/runtime/driver"
	"microagent/schema/spec"
)

// Guest is one boot of a guest. What it tells comes by a channel, which is closed when ctx ends; when nothing more can be
// told the error that say gives is why.
type Guest interface {
	// Probe runs a command at each interval, and tells of the first, of each that failed, and of one that passes after that.
	Probe(ctx context.Context, r spec.Ready, say func(error)) <-chan Probed
	// Listening and Changed tell whether a server is on a port of TCP, and whether a path was made or changed since the start:
	// what is so now, and each change.
	Listening(ctx context.Context, port uint16, say func(error)) <-chan bool
	Changed(ctx context.Context, path string, say func(error)) <-chan bool
}

// Probed is how one run of a command ended.
type Probed struct {
	Code     int
	TimedOut bool
	Said     string // the end of what it wrote, as one line
}

// Follow probes until ctx ends, and tells what it makes of that: each change, of which the first is that it waits, and
// between those what a probe that failed said, and how many did that count. line is closed when the line of a log was
// written. When it returns while ctx lasts, no probe can be made any more.
func Follow(ctx context.Context, r spec.Ready, g Guest, line <-chan struct{}, tell func(now driver.Readiness, changed bool, failed int)) {
	f := &follower{Judge: NewJudge(r, time.Now()), ready: r, tell: tell}
	tell(f.State(), true, 0)
	switch r.Kind() {
	case spec.ProbeExec:
		f.exec(ctx, g)
	case spec.ProbePort:
		f.watch(ctx, fmt.Sprintf("nothing listens on port %d in the guest", r.Port), func(say func(error)) <-chan bool { return g.Listening(ctx, r.Port, say) })
	case spec.ProbeFile:
		f.watch(ctx, r.File+" was not made or changed since the start", func(say func(error)) <-chan bool { return g.Changed(ctx, r.File, say) })
	case spec.ProbeLog:
		f.watch(ctx, "no line with that was written", func(func(error)) <-chan bool { return once(ctx, line) })
	}
}

type follower struct {
	*Judge
	ready spec.Ready
	tell  func(driver.Readiness, bool, int)
	words string // that were told
	told  int    // likewise
}

func (f *follower) note(changed bool) {
	if now := f.State(); changed || now.Words != f.words || f.Count() != f.told {
		f.words, f.told = now.Words, f.Count()
		f.tell(now, changed, f.told)
	}
}

// exec takes what the command's runs are told to be.
func (f *follower) exec(ctx context.Context, g Guest) {
	var broken error
	for p := range g.Probe(ctx, f.ready, func(err error) { broken = err }) {
		switch {
		case p.TimedOut:
			f.note(f.Failed(time.Now(), after("it took longer than "+f.ready.Timeout.String(), p.Said)))
		case p.Code == 0:
			f.note(f.Passed(time.Now()))
		case p.Code == notExecutable, p.Code == notFound:
			f.note(f.Broken(time.Now(), words(p)))
		default:
			f.note(f.Failed(time.Now(), words(p)))
		}
	}
	if ctx.Err() == nil && broken != nil {
		f.note(f.Broken(time.Now(), broken.Error()))
	}
}

// What a command's exit codes mean that could not be run, as in POSIX shells.
const (
	notExecutable = 126
	notFound      = 127
)

func words(p Probed) string { return after(fmt.Sprintf("exit code %d", p.Code), p.Said) }

// after is text with what a command said behind it.
func after(text, said string) string {
	if said != "" {
		text += ": " + said
	}
	return text
}

// watch takes what is told as it comes; while it is not so, each interval counts as a probe that failed.
func (f *follower) watch(ctx context.Context, missing string, begin func(say func(error)) <-chan bool) {
	var broken error
	told := begin(func(err error) { broken = err })
	t := time.NewTicker(f.ready.Interval)
	defer t.Stop()
	for up := false; ; {
		select {
		case now, ok := <-told:
			if !ok {
				if ctx.Err() == nil && broken != nil {
					f.note(f.Broken(time.Now(), broken.Error()))
				}
				return
			}
			if up = now; up {
				f.note(f.Passed(time.Now()))
				t.Stop()
			} else {
				t.Reset(f.ready.Interval)
			}
		case <-t.C:
			if !up {
				f.note(f.Failed(time.Now(), missing))
			}
		}
	}
}

// once tells true when line is closed.
func once(ctx context.Context, line <-chan struct{}) <-chan bool {
	told := make(chan bool)
	go func() {
		defer close(told)
		select {
		case <-line:
			select {
			case told <- true:
				<-ctx.Done()
			case <-ctx.Done():
			}
		case <-ctx.Done():
		}
	}()
	return told
}
