package supervise

import (
	"context"
	"sync"
)

// watchOwner asks for a stop when the process is gone that the run is for.
func (s *supervisor) watchOwner(ctx context.Context) (stop func()) {
	if s.spec.Owner == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		if err := s.spec.Owner.Wait(ctx); err == nil {
			s.log.Info("the process that this run is for is gone", "pid", s.spec.Owner.PID)
			s.requestStop(stopRequest{})
		} else if ctx.Err() == nil {
			s.log.Error("watch the process that this run is for", "error", err)
		}
	})
	return func() { cancel(); watching.Wait() }
}
