package ports

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/guest/proto"
)

// life is one boot of the guest.
type life struct {
	ports *Ports
	guest Guest
	ctx   context.Context
	work  sync.WaitGroup // of connections
}

// Pauses of following a guest.
const (
	patience = 10 * time.Millisecond // at least, between two changes that a guest tells
	share    = 10                    // of the time that a change took, that is not given to the guest
	again    = time.Second           // after a watch that the guest ended
)

// Serve lets the ports be used, until ctx ends: then none takes connections any more, those that are there are reset,
// and it returns when nothing of it is left. The error is of class ErrUnsupported where the guest's agent is too old.
func (p *Ports) Serve(ctx context.Context, guest Guest) error {
	ctx, cancel := context.WithCancel(ctx)
	l := &life{ports: p, guest: guest, ctx: ctx}
	defer func() {
		cancel()
		p.mu.Lock()
		all := slices.Clone(p.list)
		p.mu.Unlock()
		l.apply(all, nil)
		l.work.Wait()
	}()
	for ctx.Err() == nil {
		p.mu.Lock()
		list, changed := slices.Clone(p.list), p.changed
		p.mu.Unlock()
		if err := l.follow(list, changed); errors.Is(err, driver.ErrUnsupported) {
			return err
		} else if err != nil && ctx.Err() == nil {
			p.log.Warn("watch ports", "error", err)
			l.apply(list, nil)
			select {
			case <-ctx.Done():
			case <-time.After(again):
			}
		}
	}
	return nil
}

// follow opens and shuts ports as the guest's servers come and go, until others are published.
func (l *life) follow(list []*port, changed <-chan struct{}) error {
	if len(list) == 0 {
		select {
		case <-changed:
		case <-l.ctx.Done():
		}
		return nil
	}
	var wanted []proto.Port
	for _, p := range list {
		if !slices.Contains(wanted, p.guest) {
			wanted = append(wanted, p.guest)
		}
	}
	w, err := l.guest.Listening(l.ctx, wanted)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(l.ctx)
	watching := make(chan error, 1)
	go func() { watching <- l.watch(ctx, w, wanted, list) }()
	select {
	case err = <-watching:
		cancel()
		return errors.Join(err, w.Close())
	case <-changed:
	case <-l.ctx.Done():
	}
	cancel()
	_ = w.Close()
	l.ports.log.Debug("watch of ports ended", "error", <-watching)
	return nil
}

func (l *life) watch(ctx context.Context, w Watch, wanted []proto.Port, list []*port) error {
	for {
		states, err := w.Next()
		if err != nil {
			return err
		}
		began := time.Now()
		served := map[proto.Port]bool{}
		for i, s := range states {
			served[wanted[i]] = s
		}
		l.apply(list, served)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(max(patience, share*time.Since(began))):
		}
	}
}

// apply opens the ports that have a server and shuts the others.
func (l *life) apply(list []*port, served map[proto.Port]bool) {
	for _, p := range list {
		open := served[p.guest]
		for _, g := range p.gates {
			if !open {
				g.shut()
			} else if err := g.open(l, p); err != nil {
				l.ports.log.Warn("listen on a published port", "port", p.spec.String(), "error", err)
			}
		}
		l.ports.mu.Lock()
		p.open = open
		if served != nil {
			p.tell()
		}
		l.ports.mu.Unlock()
	}
}

// tell says that the guest has. Under Ports.mu.
func (p *port) tell() {
	select {
	case <-p.told:
	default:
		close(p.told)
	}
}
