// Package readiness tells when a workspace is ready, by the probe that it was declared with. Package supervise imports
// it and gives it one boot of a guest at a time.
//
// Promised: a port, a file and a line of the log are told by who sees them first, the guest's agent or the supervisor
// through which the line goes, so that nobody waits for the next probe; a command is run each interval, one at a time. A
// probe that is passed costs nothing more but for the command. Never: a connection to a server of the guest, a decision
// on what becomes of the workspace.
package readiness

import (
	"context"
	"fmt"
	"time"

	"microagent/runtime/driver"
	"microagent/schema/spec"
)

// Guest is one boot of a guest.
type Guest interface {
	// Exec runs a command to its end, or for a time; said is the end of what it wrote, "" where quiet says that nobody asks: it
	// costs half as much then.
	Exec(ctx context.Context, argv []string, timeout time.Duration, quiet bool) (code int, said string, err error)
	// Listening and Changed tell by a channel whether a server is on a port of TCP, and whether a path was made or changed
	// since the start: what is so now, and each change. The channel is closed when ctx ends; when nothing more can be told
	// the error that say gives is why.
	Listening(ctx context.Context, port uint16, say func(error)) <-chan bool
	Changed(ctx context.Context, path string, say func(error)) <-chan bool
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

// quiet says that what a probe writes is not asked for: it passed the last time, and one failure alone is no change.
func (f *follower) quiet() bool {
	return f.now.State == driver.ReadyYes && f.failed == 0 && f.enough() > 1
}

// exec runs the command at each interval, and a command that takes longer as soon as it has ended.
func (f *follower) exec(ctx context.Context, g Guest) {
	t := time.NewTicker(f.ready.Interval)
	defer t.Stop()
	for {
		code, said, err := f.run(ctx, g)
		if ctx.Err() != nil {
			return
		}
		switch {
		case err != nil:
			f.note(f.Failed(time.Now(), err.Error()))
		case code == 0:
			f.note(f.Passed(time.Now()))
		case code == notExecutable, code == notFound:
			f.note(f.Broken(time.Now(), words(code, said)))
		default:
			f.note(f.Failed(time.Now(), words(code, said)))
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// run makes one probe. One that failed and was not asked what it wrote is made once more, at once, for that alone.
func (f *follower) run(ctx context.Context, g Guest) (code int, said string, err error) {
	quiet := f.quiet()
	code, said, err = g.Exec(ctx, f.ready.Exec, f.ready.Timeout, quiet)
	if !quiet || err != nil || code == 0 {
		return code, said, err
	}
	switch again, why, err := g.Exec(ctx, f.ready.Exec, f.ready.Timeout, false); {
	case err != nil:
		return code, err.Error(), nil
	case again == 0:
		return code, "it passed at once when it was run again", nil
	default:
		return again, why, nil
	}
}

// What a command's exit codes mean that could not be run, as in POSIX shells.
const (
	notExecutable = 126
	notFound      = 127
)

func words(code int, said string) string {
	text := fmt.Sprintf("exit code %d", code)
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
