package cli

import (
	"context"
	"sync"
	"time"

	"microagent/runtime/driver"
)

// answerTime is how long status and list wait for a guest to answer. One that does takes some milliseconds.
const answerTime = 2 * time.Second

// askGuests notes which running guests don't answer, and which ports have a server, all asked at once: a record says that a guest was ready, and not that
// its VMM stands still by now.
func askGuests(ctx context.Context, w *world, list []driver.Workspace) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	var asked sync.WaitGroup
	for i := range list {
		if run := list[i].Run; run != nil && run.Phase.Alive() {
			asked.Go(func() { list[i].Silent = w.Runs.Silent(ctx, list[i].Spec.Name) })
		}
		if hasPorts(list[i]) {
			run := *list[i].Run
			list[i].Run = &run
			asked.Go(func() {
				if ports, err := w.Runs.Ports(ctx, list[i].Spec.Name); err == nil {
					run.Ports = ports
				}
			})
		}
	}
	asked.Wait()
}
