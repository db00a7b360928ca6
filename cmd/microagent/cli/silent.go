package cli

import (
	"context"
	"sync"
	"time"

	"microagent/runtime/driver"
)

// answerTime is how long status and list wait for a guest to answer. One that does takes some milliseconds.
const answerTime = 2 * time.Second

// askGuests notes which running guests don't answer, and what of their runs is of the moment, all asked at once: a record
// says that a guest was up, and not that its VMM stands still by now, or what its probe says.
func askGuests(ctx context.Context, w *world, list []driver.Workspace) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	var asked sync.WaitGroup
	for i := range list {
		ws := &list[i]
		if ws.Run == nil || !ws.Run.Phase.Alive() {
			continue
		}
		asked.Go(func() { ws.Silent = w.Runs.Silent(ctx, ws.Spec.Name) })
		run := *ws.Run
		ws.Run = &run
		asked.Go(func() {
			if now, err := w.Runs.Current(ctx, ws.Spec.Name); err == nil && now.ID != "" {
				run = now
			}
		})
	}
	asked.Wait()
}
