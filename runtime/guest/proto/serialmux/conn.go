package serialmux

import (
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/yamux"
)

// drainTime bounds how long a closed connection listens for its peer's end, so that the peer's writes fail or
// finish instead of waiting for room.
const drainTime = 10 * time.Second

// Conn is one connection. CloseWrite ends our direction; Close ends both: what the peer still sends is thrown
// away until it closes too.
type Conn struct {
	*yamux.Stream
	work    *work
	reading sync.Mutex // held by whoever reads the stream
	closed  atomic.Bool
}

var _ net.Conn = (*Conn)(nil)

func (c *Conn) Read(p []byte) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if c.closed.Load() {
		return 0, net.ErrClosed
	}
	n, err := c.Stream.Read(p)
	if err != nil && c.closed.Load() {
		err = net.ErrClosed
	}
	return n, err
}

// CloseWrite makes the peer read the end; reading goes on.
func (c *Conn) CloseWrite() error { return c.Stream.Close() }

// Close ends the connection. A Read in progress returns.
func (c *Conn) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	err := c.Stream.Close()
	_ = c.SetDeadline(time.Unix(1, 0))
	c.work.run(func() {
		c.awaitReaders()
		_ = c.SetReadDeadline(time.Now().Add(drainTime))
		_, _ = io.Copy(io.Discard, onlyReader{c.Stream})
	})
	return err
}

// awaitReaders returns when no Read is in progress; a closed connection lets no other begin.
func (c *Conn) awaitReaders() {
	c.reading.Lock()
	defer c.reading.Unlock()
}

// onlyReader hides everything but Read.
type onlyReader struct{ io.Reader }

// Addr names a port of a session.
type Addr uint32

func (a Addr) Network() string { return "serialmux" }

func (a Addr) String() string { return strconv.FormatUint(uint64(a), 10) }
