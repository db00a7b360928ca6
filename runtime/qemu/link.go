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

	greeted func()        // called when a guest has said hello and waits to be answered
	asked   sync.Once     // closes wanted
	wanted  chan struct{} // closed by the first wait: no hello is answered before

	mu      sync.Mutex
	conn    net.Conn
	hello   []byte // that conn's guest waits to be answered
	session *serialmux.HostSession
	changed chan struct{} // closed and renewed when session changes
}

// newLink makes a link without connection. broken and greeted are called from a goroutine of the link, which close waits for.
func newLink(broken, greeted func()) *link {
	l := &link{broken: broken, greeted: greeted, changed: make(chan struct{}), wanted: make(chan struct{})}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// attach drops what there was and waits for a guest's hello on conn.
func (l *link) attach(conn net.Conn) { l.attachTo(conn, l.await) }

// resume is attach for a guest that is a copy of one which had said hello, or had a session where hello is nil.
func (l *link) resume(conn net.Conn, hello []byte) {
	if hello != nil {
		l.attachTo(conn, func(net.Conn) ([]byte, error) { return hello, nil })
		return
	}
	l.attachTo(conn, func(conn net.Conn) ([]byte, error) {
		breaking, cancel := context.WithCancel(l.ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			serialmux.Break(breaking, conn)
		}()
		defer func() { cancel(); <-done }()
		return l.await(conn)
	})
}

func (l *link) await(conn net.Conn) ([]byte, error) { return serialmux.AwaitHello(l.ctx, conn) }

func (l *link) attachTo(conn net.Conn, await func(net.Conn) ([]byte, error)) {
	l.mu.Lock()
	old := l.conn
	l.conn, l.hello = conn, nil
	l.setSession(nil)
	l.mu.Unlock()
	if old != nil {
		_ = old.Close() // its session ends by that, and is not waited for here
	}
	l.work.Go(func() { l.serve(conn, await) })
}

// unanswered is the hello of a guest that waits, nil for none.
func (l *link) unanswered() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.hello
}

// meet gives a session with the guest, once one is wanted.
func (l *link) meet(conn net.Conn, await func(net.Conn) ([]byte, error)) (*serialmux.HostSession, error) {
	hello, err := await(conn)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	if l.conn == conn {
		l.hello = hello
	}
	l.mu.Unlock()
	l.greeted()
	select {
	case <-l.wanted:
	case <-l.ctx.Done():
		return nil, context.Cause(l.ctx)
	}
	l.mu.Lock()
	if l.conn == conn {
		l.hello = nil
	}
	l.mu.Unlock()
	return serialmux.Answer(l.ctx, conn, hello)
}

// setSession is called with mu held.
func (l *link) setSession(s *serialmux.HostSession) {
	l.session = s
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *link) serve(conn net.Conn, await func(net.Conn) ([]byte, error)) {
	session, err := l.meet(conn, await)
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
	l.asked.Do(func() { close(l.wanted) })
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
