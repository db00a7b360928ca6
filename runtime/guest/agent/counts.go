package agent

import (
	"bytes"
	"context"
	"io"
	"os"
	"time"
)

// counts are how many sockets there are. A socket that begins to listen is counted (inet_hash in
// net/ipv4/inet_hashtables.c), and reading how many there are costs a tenth of reading the tables: so those are read when
// the number is another, and else seldom, for one that came in the moment in which another went. The zero value counts
// nothing.
type counts struct {
	files []*os.File    // open all the time: what they say is made anew at each read from the start
	last  []byte        // nil before the first count
	took  time.Duration // by the quickest count
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

func (c *counts) look() { c.changed() }

// changed says whether the numbers are others than at the last call; at the first they are not.
func (c *counts) changed() bool {
	began := time.Now()
	now := c.buf[:0]
	for _, f := range c.files {
		n, err := f.ReadAt(c.buf[len(now):], 0)
		if err != nil && err != io.EOF {
			return false
		}
		now = c.buf[:len(now)+n]
	}
	if took := time.Since(began); c.took == 0 || took < c.took {
		c.took = took
	}
	first := c.last == nil
	if !first && bytes.Equal(now, c.last) {
		return false
	}
	c.last = append(c.last[:0], now...)
	return !first
}

// Pauses of counting while a server is missing: so many times as long as a count takes, which tells how slow this machine
// is, within a bound; later a part of the time in which nothing has changed, up to lookMissing, so that a server is seen late
// by less than a hundredth of the time for which it was waited. And of looking at the tables all the same.
const (
	countShare   = 300
	countMost    = 40 * time.Millisecond
	countQuiet   = 120
	sureMissing  = 2 * time.Second
	sureAllThere = 10 * time.Second
)

// pause is that between two counts, when nothing has changed for a time.
func (c *counts) pause(missing bool, quiet time.Duration) time.Duration {
	if !missing {
		return lookAll
	}
	return max(lookFirst, min(countShare*c.took, countMost), min(quiet/countQuiet, lookMissing))
}

// What ends await.
type stir int

const (
	timeToLook stir = iota
	stirredNow
	hostGone
)

// await counts again and again.
func (c *counts) await(ctx context.Context, stirred, gone <-chan struct{}, missing bool, quiet time.Duration) stir {
	most := untilNextLook(quiet, missing)
	if c.last != nil {
		most = sureAllThere
		if missing {
			most = sureMissing
		}
	}
	for deadline := time.Now().Add(most); ; {
		rest := time.Until(deadline)
		if c.last != nil {
			rest = min(rest, c.pause(missing, quiet))
		}
		if s := awaitStir(ctx, stirred, nil, gone, rest); s != timeToLook {
			return s
		}
		if c.last != nil && c.changed() || !time.Now().Before(deadline) {
			return timeToLook
		}
	}
}

// awaitStir waits for a bell or what was heard, for a time at most.
func awaitStir(ctx context.Context, stirred, heard, gone <-chan struct{}, most time.Duration) stir {
	t := time.NewTimer(most)
	defer t.Stop()
	select {
	case <-stirred:
		return stirredNow
	case <-heard:
		return stirredNow
	case <-t.C:
		return timeToLook
	case <-gone:
	case <-ctx.Done():
	}
	return hostGone
}
