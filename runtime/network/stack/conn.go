package stack

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/waiter"
)

// Conn is the guest's end of a flow. One goroutine may receive while another sends. It holds no buffer while it waits.
type Conn struct {
	// Chunk is how much at a time is to be carried, in bytes.
	Chunk int

	ep       tcpip.Endpoint
	queue    *waiter.Queue
	in, out  waiter.Entry
	readable <-chan struct{}
	writable <-chan struct{}
	over     chan struct{}
	once     sync.Once

	place       *place // of datagrams, as what follows; nil for TCP
	unreachable func(Absence)
}

func newConn(ep tcpip.Endpoint, queue *waiter.Queue, chunk int) *Conn {
	c := &Conn{Chunk: chunk, ep: ep, queue: queue, over: make(chan struct{})}
	c.in, c.readable = makeEntry(waiter.ReadableEvents)
	c.out, c.writable = makeEntry(waiter.WritableEvents)
	queue.EventRegister(&c.in)
	queue.EventRegister(&c.out)
	return c
}

func makeEntry(events waiter.EventMask) (waiter.Entry, <-chan struct{}) {
	return waiter.NewChannelEntry(events | waiter.EventHUp | waiter.EventErr)
}

// Wait returns when Receive has something to say.
func (c *Conn) Wait() {
	for c.ep.Readiness(waiter.ReadableEvents|waiter.EventHUp|waiter.EventErr) == 0 {
		select {
		case <-c.readable:
		case <-c.over:
			return
		}
	}
}

// Receive gives what the guest has sent, or one datagram of it; it waits until there is something. io.EOF at the end of what
// the guest sends, an *Error for a reset.
func (c *Conn) Receive(p []byte) (int, error) {
	for {
		w := tcpip.SliceWriter(p)
		got, err := c.ep.Read(&w, tcpip.ReadOptions{})
		switch err.(type) {
		case nil:
			if c.place != nil {
				c.place.taken.Add(1)
			}
			return got.Count, nil
		case *tcpip.ErrWouldBlock:
		case *tcpip.ErrClosedForReceive:
			return 0, io.EOF
		default:
			return 0, errorOf("receive", err)
		}
		select {
		case <-c.readable:
		case <-c.over:
			return 0, errEnded
		}
	}
}

// Read is Receive.
func (c *Conn) Read(p []byte) (int, error) { return c.Receive(p) }

// Write sends p to the guest, as one datagram where the flow is of those; it waits until there is room for all of it.
func (c *Conn) Write(p []byte) (int, error) {
	r := bytes.NewReader(p)
	for {
		_, err := c.ep.Write(r, tcpip.WriteOptions{})
		switch err.(type) {
		case nil:
			if r.Len() == 0 {
				return len(p), nil
			}
			continue
		case *tcpip.ErrWouldBlock:
		default:
			return len(p) - r.Len(), errorOf("send", err)
		}
		select {
		case <-c.writable:
		case <-c.over:
			return len(p) - r.Len(), errEnded
		}
	}
}

// CloseWrite ends what is sent to the guest.
func (c *Conn) CloseWrite() error {
	if err := c.ep.Shutdown(tcpip.ShutdownWrite); err != nil {
		return errorOf("end", err)
	}
	return nil
}

// Abort ends the flow at once: the guest sees a reset.
func (c *Conn) Abort() {
	c.once.Do(func() {
		close(c.over)
		c.ep.Abort()
	})
}

// Close ends the flow, after what was sent has arrived.
func (c *Conn) Close() error {
	c.once.Do(func() {
		close(c.over)
		c.ep.Close()
	})
	return nil
}

// release is Close of a flow whose function has returned.
func (c *Conn) release() {
	_ = c.Close()
	if c.place != nil {
		c.place.leave()
	}
	c.queue.EventUnregister(&c.in)
	c.queue.EventUnregister(&c.out)
}

// Error is what went wrong with a flow.
type Error struct {
	Op   string // "accept", "receive", "send", "end"
	Text string
	err  tcpip.Error
}

func (e *Error) Error() string { return e.Op + ": " + e.Text }

// Is says that a reset is syscall.ECONNRESET.
func (e *Error) Is(target error) bool {
	switch e.err.(type) {
	case *tcpip.ErrConnectionReset, *tcpip.ErrConnectionAborted:
		return target == error(syscall.ECONNRESET)
	}
	return false
}

var _ io.ReadWriteCloser = (*Conn)(nil)

var errEnded = errors.New("the flow was ended")
