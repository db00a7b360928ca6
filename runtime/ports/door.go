package ports

import (
	"errors"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// door takes connections from a socket that listens, while it is open.
type door struct {
	mu     sync.Mutex
	locked bool
	end    func() // of what is open; nil when nothing is
}

// admit opens: listen gives what accepts and what ends that. Open already, or locked for ever, it does nothing.
func (d *door) admit(l *life, p *port, listen func() (accept func() (net.Conn, error), end func(), err error)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.locked || d.end != nil {
		return nil
	}
	accept, end, err := listen()
	if err != nil {
		return err
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for take(l, p, accept, stop) {
		}
	}()
	d.end = func() { close(stop); end(); <-done }
	return nil
}

// shut ends what admit began, and waits for it.
func (d *door) shut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.shutLocked()
}

func (d *door) shutLocked() {
	if d.end != nil {
		d.end()
		d.end = nil
	}
}

// lock shuts for ever.
func (d *door) lock() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.shutLocked()
	d.locked = true
}

// scarce is how long a host without descriptors or memory is left alone.
const scarce = 50 * time.Millisecond

// take takes one connection, and the next only when there was room for it; false when there is no other.
func take(l *life, p *port, accept func() (net.Conn, error), stop <-chan struct{}) bool {
	conn, err := accept()
	switch {
	case err == nil:
		if !l.admit(p, stop) {
			reset(conn)
			return false
		}
		l.work.Go(func() {
			defer func() { <-l.ports.slots; <-p.slots }()
			if p.guest.UDP {
				l.carryPackets(conn, p)
			} else {
				l.carry(conn, p)
			}
		})
		return true
	case errors.Is(err, unix.ECONNABORTED):
		return true
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE), errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.ENOMEM):
		select {
		case <-time.After(scarce):
			return true
		case <-stop:
		}
	}
	return false
}

// admit waits for room for one more connection.
func (l *life) admit(p *port, stop <-chan struct{}) bool {
	select {
	case p.slots <- struct{}{}:
	case <-stop:
		return false
	}
	select {
	case l.ports.slots <- struct{}{}:
		return true
	case <-stop:
		<-p.slots
		return false
	}
}
