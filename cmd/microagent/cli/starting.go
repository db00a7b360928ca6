package cli

import (
	"context"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

// startPeriod is how often a start is looked at, to say what it waits for.
const startPeriod = time.Second

// startGuest starts a workspace, and says once what that waits for when it does. Where it is all that the command does until
// then, alone, a terminal has a line that shows for how long.
func (a *app) startGuest(ctx context.Context, w *world, name string, o driver.StartOptions, alone bool) (driver.Run, error) {
	hide := func() {}
	show := func() {
		if alone {
			_, hide = a.StartProgress("start " + name)
		}
	}
	show()
	type result struct {
		run driver.Run
		err error
	}
	started, waits := make(chan result, 1), make(chan string)
	telling := layout.Tell(ctx, func(locked *layout.LockedError, atMost time.Duration) { waits <- waitsFor(locked, atMost) })
	go func() {
		run, err := w.Runs.Start(telling, name, o)
		started <- result{run, err}
	}()
	look := time.NewTicker(startPeriod)
	defer look.Stop()
	say := func(what string) {
		hide()
		a.Say("%s: %s", name, what)
		show()
	}
	for said := ""; ; {
		select {
		case r := <-started:
			if hide(); r.err == nil {
				a.sayPorts(name, r.run)
			}
			return r.run, r.err
		case <-look.C:
			ws, err := w.Workspaces.Get(ctx, name)
			if err == nil && ws.Run != nil && ws.Run.Phase == driver.PhaseStarting && ws.Run.Waits != "" && ws.Run.Waits != said {
				said = ws.Run.Waits
				say(said)
			}
		case what := <-waits:
			say(what)
		}
	}
}
