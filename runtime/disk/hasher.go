package disk

import (
	"context"
	"crypto/sha256"
	"hash"
	"io"
	"sync"

	"microagent/runtime/disk/sparse"
)

const (
	hashChunk = 256 << 10
	zeroChunk = 64 << 20 // of a hole that goes to the hasher at once
)

// hasher is SHA-256 on a goroutine of its own. Writes are copied and never fail.
type hasher struct {
	h     hash.Hash
	buf   []byte
	full  chan hashed
	empty chan []byte
	done  sync.WaitGroup
	once  sync.Once
}

// hashed is the next piece: bytes, and zeros behind them.
type hashed struct {
	data  []byte
	zeros int64
}

var zeros [hashChunk]byte

func newHasher() *hasher {
	h := &hasher{h: sha256.New(), buf: make([]byte, 0, hashChunk), full: make(chan hashed, 4), empty: make(chan []byte, 4)}
	for range cap(h.empty) - 1 {
		h.empty <- make([]byte, 0, hashChunk)
	}
	h.done.Go(func() {
		for p := range h.full {
			h.h.Write(p.data)
			for left := p.zeros; left > 0; left -= hashChunk {
				h.h.Write(zeros[:min(left, hashChunk)])
			}
			h.empty <- p.data[:0]
		}
	})
	return h
}

func (h *hasher) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n := min(len(rest), cap(h.buf)-len(h.buf))
		h.buf = append(h.buf, rest[:n]...)
		if rest = rest[n:]; len(h.buf) == cap(h.buf) {
			h.pass(0)
		}
	}
	return len(p), nil
}

// pass gives what was written to the goroutine, and zeros behind it.
func (h *hasher) pass(zeros int64) {
	h.full <- hashed{h.buf, zeros}
	h.buf = <-h.empty
}

// text hashes s.
func (h *hasher) text(s string) { h.bytes([]byte(s)) }

// bytes hashes b.
func (h *hasher) bytes(b []byte) { _, _ = h.Write(b) }

// direct is for who hashes on a goroutine of its own anyway: what is written to it is hashed at once and not copied. Only
// sum may be called after it.
func (h *hasher) direct() io.Writer {
	h.h.Write(h.buf)
	h.buf = h.buf[:0]
	return h.h
}

// stop ends the goroutine; more writes are not allowed.
func (h *hasher) stop() {
	h.once.Do(func() {
		close(h.full)
		h.done.Wait()
	})
}

// sum ends the hashing and gives the digest.
func (h *hasher) sum() []byte {
	h.stop()
	h.h.Write(h.buf)
	return h.h.Sum(nil)
}

// hashedContent hashes what is read of a file, its holes as the zeros that they stand for.
type hashedContent struct {
	ctx  context.Context
	from *sparse.File
	h    *hasher
}

var _ sparse.Reader = (*hashedContent)(nil)

// Skip passes over a hole. Its zeros are hashed a piece at a time, so that who is told to end is heard.
func (c *hashedContent) Skip() (int64, error) {
	n, err := c.from.Skip()
	for left := n; left > 0 && err == nil; left -= zeroChunk {
		c.h.pass(min(left, zeroChunk))
		err = c.ctx.Err()
	}
	return n, err
}

func (c *hashedContent) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	_, _ = c.h.Write(p[:n])
	return n, err
}
