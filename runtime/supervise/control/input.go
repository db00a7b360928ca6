package control

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// feed sends input and its end, no more than credit allows. A reader that breaks leaves the input without an end, which the
// supervisor sees when the connection closes.
func feed(ch *channel, input io.Reader, credit *credit) {
	buf := make([]byte, chunk)
	for {
		n, err := input.Read(buf)
		for rest := buf[:n]; len(rest) > 0; {
			most := credit.take(len(rest))
			if most == 0 || ch.send(frameInput, rest[:most]) != nil {
				return
			}
			rest = rest[most:]
		}
		if errors.Is(err, io.EOF) {
			_ = ch.send(frameInputEnd, nil)
		}
		if err != nil {
			return
		}
	}
}

// credit is how much input a supervisor will still take. A nil one has no bound.
type credit struct {
	mu   sync.Mutex
	more sync.Cond
	left int
	over bool
}

func newCredit() *credit {
	c := &credit{}
	c.more.L = &c.mu
	return c
}

// take waits for credit and gives how much of want may be sent, 0 when the call is over.
func (c *credit) take(want int) int {
	if c == nil {
		return want
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.left == 0 && !c.over {
		c.more.Wait()
	}
	if c.over {
		return 0
	}
	n := min(want, c.left)
	c.left -= n
	return n
}

// errGrant says that a supervisor granted what can't be, or what nobody asked for.
var errGrant = errors.New("control: a grant that can't be")

// add takes the content of a grant frame.
func (c *credit) add(payload []byte) error {
	if c == nil || len(payload) != 4 {
		return errGrant
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n := int(binary.BigEndian.Uint32(payload))
	if n > maxFrame || c.left > maxFrame {
		return errGrant
	}
	c.left += n
	c.more.Broadcast()
	return nil
}

func (c *credit) end() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	c.more.Broadcast()
}

// inputReader gives the bytes of input frames up to the end frame. Any other frame, and a connection that ends
// before, is an error.
type inputReader struct {
	c    *channel
	rest []byte
	err  error
}

func (r *inputReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		kind, payload, err := r.c.receive()
		switch {
		case errors.Is(err, io.EOF):
			r.err = io.ErrUnexpectedEOF
		case err != nil:
			r.err = err
		case kind == frameInput:
			r.rest = payload
		case kind == frameInputEnd:
			r.err = io.EOF
		default:
			r.err = fmt.Errorf("control: a frame of type %q in the input", kind)
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}
