package qemu

import (
	"net"
	"testing"
	"time"

	"microagent/runtime/guest/proto/serialmux"
)

// greet is a guest that says hello on the other end of what it gives, and ends its session when the test does.
func greet(t *testing.T) (host net.Conn, guest net.Conn) {
	t.Helper()
	host, guest = net.Pipe()
	go func() {
		s, err := serialmux.Guest(t.Context(), guest)
		if err == nil {
			<-s.Done()
			_ = s.Close()
		}
	}()
	return host, guest
}

// TestResetAfterABrokenSession attaches anew right after a session broke, as a reset does. What the new boot said must
// not be thrown away by a second attachment.
func TestResetAfterABrokenSession(t *testing.T) {
	broken := make(chan struct{}, 8)
	l := newLink(func() { broken <- struct{}{} }, func() {})
	defer l.close()
	first, guest := greet(t)
	l.attach(first)
	session, err := l.wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = guest.Close()
	<-session.Done()
	second, guest := greet(t)
	l.attach(second)
	if session, err = l.wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-broken:
		t.Error("the end of the first session was told although a second was attached")
	case <-time.After(300 * time.Millisecond):
	}
	_ = guest.Close()
	<-session.Done()
	<-broken // nothing was attached after this one
}
