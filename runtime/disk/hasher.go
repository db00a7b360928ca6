package disk

import (
	"crypto/sha256"
	"hash"
	"sync"
)

const hashChunk = 256 << 10

// hasher is SHA-256 on a goroutine of its own. Writes are copied and never fail.
type hasher struct {
	h     hash.Hash
	buf   []byte
	full  chan []byte
	empty chan []byte
	done  sync.WaitGroup
	once  sync.Once
}

func newHasher() *hasher {
	h := &hasher{h: sha256.New(), buf: make([]byte, 0, hashChunk), full: make(chan []byte, 4), empty: make(chan []byte, 4)}
	for range cap(h.empty) - 1 {
		h.empty <- make([]byte, 0, hashChunk)
	}
	h.done.Go(func() {
		for b := range h.full {
			h.h.Write(b)
			h.empty <- b[:0]
		}
	})
	return h
}

func (h *hasher) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n := min(len(rest), cap(h.buf)-len(h.buf))
		h.buf = append(h.buf, rest[:n]...)
		if rest = rest[n:]; len(h.buf) == cap(h.buf) {
			h.full <- h.buf
			h.buf = <-h.empty
		}
	}
	return len(p), nil
}

func (h *hasher) text(s string) { _, _ = h.Write([]byte(s)) }

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
