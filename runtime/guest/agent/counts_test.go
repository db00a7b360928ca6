package agent

import (
	"context"
	"net"
	"testing"
	"time"
)

// TestCountsTellOfAServer: what begins to listen is another number of sockets, so that it is looked for at once.
func TestCountsTellOfAServer(t *testing.T) {
	c := countSockets(tables)
	defer c.close()
	if len(c.files) == 0 {
		t.Fatal("this kernel counts no sockets")
	}
	if c.changed() {
		t.Error("the first look has changed")
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got := c.await(t.Context(), nil, nil, true, 0); got != timeToLook {
		t.Errorf("it ends with %v", got)
	}
	gone := make(chan struct{})
	close(gone)
	if got := c.await(t.Context(), nil, gone, true, time.Hour); got != hostGone {
		t.Errorf("without a host it ends with %v", got)
	}
	rung := make(chan struct{})
	close(rung)
	if got := c.await(t.Context(), rung, nil, false, time.Hour); got != stirredNow {
		t.Errorf("when it is stirred it ends with %v", got)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if got := c.await(ended, nil, nil, false, time.Hour); got != hostGone {
		t.Errorf("after its context it ends with %v", got)
	}
}
