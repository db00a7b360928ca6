package qemu

import (
	"context"
	"net"
	"sync"
	"time"

	"microagent/runtime/guest/proto/serialmux"
)

// link is the way to the guest's agent: one session over the serial port for each time that the guest says
// hello. A guest that was reset gets a new connection under it, see attach, so that nothing of an old session
// reaches the new one.
type link struct {
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup
	broken func() // called when a session ended although nothing was attached anew

	mu      sync.Mutex
	conn    net.Conn
	session *serialmux.HostSession
	changed chan struct{} // closed and renewed when session changes
}

// newLink makes a link without connection. broken is called from a goroutine of the link, which close waits for.
func newLink(broken func()) *link {
	l := &link{broken: broken, changed: make(chan struct{})}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// attach drops what there was and waits for a guest's hello on conn.
func (l *link) attach(conn net.Conn) {
	l.mu.Lock()
	old := l.conn
	l.conn = conn
	l.setSession(nil)
	l.mu.Unlock()
	if old != nil {
		_ = old.Close() // its session ends by that, and is not waited for here
	}
	l.work.Go(func() { l.serve(conn) })
}

// setSession is called with mu held.
func (l *link) setSession(s *serialmux.HostSession) {
	l.session = s
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *link) serve(conn net.Conn) {
	session, err := serialmux.Host(l.ctx, conn)
	if err == nil {
		l.mu.Lock()
		if l.conn == conn {
			l.setSession(session)
		}
		l.mu.Unlock()
		select {
		case <-session.Done():
		case <-l.ctx.Done():
		}
		_ = session.Close() // what it says is that it was closed
	}
	l.mu.Lock()
	current := l.conn == conn
	if current {
		l.setSession(nil)
	}
	l.mu.Unlock()
	if !current {
		return
	}
	// The guest's agent ended, or sent what makes no sense. A hostile one may do so at once again. A reset that comes
	// meanwhile attaches by itself, and a second time would lose what its boot says.
	select {
	case <-l.ctx.Done():
		return
	case <-time.After(100 * time.Millisecond):
	}
	l.mu.Lock()
	current = l.conn == conn
	l.mu.Unlock()
	if current {
		l.broken()
	}
}

// wait gives the session, as soon as there is one.
func (l *link) wait(ctx context.Context) (*serialmux.HostSession, error) {
	for {
		l.mu.Lock()
		session, changed := l.session, l.changed
		l.mu.Unlock()
		if session != nil {
			return session, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-l.ctx.Done():
			return nil, net.ErrClosed
		}
	}
}

// close ends the link and its goroutines. It must not be called with a lock held that broken takes.
func (l *link) close() {
	l.cancel()
	l.mu.Lock()
	conn := l.conn
	l.mu.Unlock()
	if conn != nil {
		_ = conn.Close() // its session closes it too
	}
	l.work.Wait()
}
