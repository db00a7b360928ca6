package supervise

// turn tells those who wait that something has changed. The zero value is ready for use; its owner's lock is held for
// both of its methods.
type turn struct{ next chan struct{} }

// wait is closed by the next ring.
func (t *turn) wait() <-chan struct{} {
	if t.next == nil {
		t.next = make(chan struct{})
	}
	return t.next
}

func (t *turn) ring() {
	if t.next != nil {
		close(t.next)
		t.next = nil
	}
}
