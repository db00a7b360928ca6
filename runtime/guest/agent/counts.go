package agent

import (
	"bytes"
	"context"
	"io"
	"os"
	"time"
)

// counts are how many sockets there are. A socket that begins to listen is counted (inet_hash in
// net/ipv4/inet_hashtables.c), and reading how many there are costs a tenth of reading the tables: so a server that is
// missing is looked for as soon as their number is another. The zero value counts nothing.
type counts struct {
	files []*os.File // open all the time: what they say is made anew at each read from the start
	last  []byte     // nil: nobody asks
	buf   [1024]byte
}

// countSockets opens the counters below dir; those that are not there count nothing.
func countSockets(dir string) *counts {
	c := &counts{}
	for _, name := range []string{"/sockstat", "/sockstat6"} {
		if f, err := os.Open(dir + name); err == nil {
			c.files = append(c.files, f)
		}
	}
	return c
}

func (c *counts) close() {
	for _, f := range c.files {
		f.Close()
	}
}

// forget says that nobody asks.
func (c *counts) forget() { c.last = nil }

// changed says whether the numbers are others than at the last call; at the first after forget they are not.
func (c *counts) changed() bool {
	now := c.buf[:0]
	for _, f := range c.files {
		n, err := f.ReadAt(c.buf[len(now):], 0)
		if err != nil && err != io.EOF {
			return false
		}
		now = c.buf[:len(now)+n]
	}
	first := c.last == nil
	if !first && bytes.Equal(now, c.last) {
		return false
	}
	c.last = append(c.last[:0], now...)
	return !first
}

// lookCount is how often sockets are counted while a server is missing.
const lookCount = 20 * time.Millisecond

// What ends awaitStir.
type stir int

const (
	timeToLook stir = iota
	stirredNow
	hostGone
)

// awaitStir waits until something may have begun or ended a server, at most so long. It counts sockets meanwhile when a
// server is missing, for which they are counted once before the look at the tables.
func awaitStir(ctx context.Context, stirred, gone <-chan struct{}, most time.Duration, c *counts) stir {
	deadline := time.Now().Add(most)
	for {
		rest := time.Until(deadline)
		if c.last != nil {
			rest = min(rest, lookCount)
		}
		t := time.NewTimer(rest)
		select {
		case <-stirred:
			t.Stop()
			return stirredNow
		case <-t.C:
		case <-gone:
			t.Stop()
			return hostGone
		case <-ctx.Done():
			t.Stop()
			return hostGone
		}
		switch {
		case c.last != nil && c.changed():
			return timeToLook
		case !time.Now().Before(deadline):
			return timeToLook
		}
	}
}
