package serialmux

import "sync"

// work owns a session's goroutines: none starts once it was waited for.
type work struct {
	mu    sync.Mutex
	ended bool
	group sync.WaitGroup
}

// run starts f, unless the session has ended.
func (w *work) run(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ended {
		w.group.Go(f)
	}
}

// wait lets nothing start any more and returns when all have come to their end.
func (w *work) wait() {
	w.mu.Lock()
	w.ended = true
	w.mu.Unlock()
	w.group.Wait()
}
