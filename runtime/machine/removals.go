package machine

import "sync"

// removals are the devices that a guest is asked to let go of.
type removals struct {
	mu   sync.Mutex
	wait map[string]chan struct{}
}

// expect gives what is closed once the device called id is gone.
func (r *removals) expect(id string) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.wait == nil {
		r.wait = map[string]chan struct{}{}
	}
	if r.wait[id] == nil {
		r.wait[id] = make(chan struct{})
	}
	return r.wait[id]
}

func (r *removals) done(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if gone := r.wait[id]; gone != nil {
		close(gone)
		delete(r.wait, id)
	}
}
