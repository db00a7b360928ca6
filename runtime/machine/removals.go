package machine

import "sync"

// removals are the devices that a guest let go of, or is asked to. No two devices of a VM have the same id.
type removals struct {
	mu sync.Mutex
	of map[string]*removal
}

type removal struct {
	gone        chan struct{} // closed once the VMM has closed it
	asked, over bool
}

// get gives that of the device called id. The caller has mu.
func (r *removals) get(id string) *removal {
	if r.of == nil {
		r.of = map[string]*removal{}
	}
	if r.of[id] == nil {
		r.of[id] = &removal{gone: make(chan struct{})}
	}
	return r.of[id]
}

// state gives what is closed once the device called id is gone, and whether the guest was asked to let go of it.
func (r *removals) state(id string) (gone <-chan struct{}, asked bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	one := r.get(id)
	return one.gone, one.asked || one.over
}

func (r *removals) ask(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.get(id).asked = true
}

func (r *removals) done(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if one := r.get(id); !one.over {
		one.over = true
		close(one.gone)
	}
}
