package cli

import (
	"context"
	"time"

	"microagent/runtime/driver"
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
	started := make(chan result, 1)
	go func() {
		run, err := w.Runs.Start(ctx, name, o)
		started <- result{run, err}
	}()
	look := time.NewTicker(startPeriod)
	defer look.Stop()
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
				hide()
				a.Say("%s: %s", name, said)
				show()
			}
		}
	}
}
