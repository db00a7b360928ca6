package layer

import (
	"context"
	"io"
	"sync"
)

const (
	layerWindow = 64 << 20
	loneWindow  = 4 << 20 // of a layer that no other is decoded beside
	totalWindow = 256 << 20
	aheadChunk  = 256 << 10
)

// chunks are those of readers that were closed: who applies many layers does not take memory for each anew.
var chunks = sync.Pool{New: func() any { return new([aheadChunk]byte) }}

// Ahead is a reader whose source is opened and read by a goroutine of its own, a bounded window ahead.
type Ahead struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
	full   chan []byte
	empty  chan []byte
	err    error // why reading ended; it is set when full is closed
	have   []byte
	chunk  []byte
}

// ReadAhead begins to read what open gives, at most window bytes ahead. Close must be called; it waits for the
// goroutine and closes the source.
func ReadAhead(ctx context.Context, window int, open func() (io.ReadCloser, error)) *Ahead {
	a, ctx := newAhead(ctx, window)
	a.done.Go(func() {
		defer close(a.full)
		a.err = a.read(ctx, open, a.full)
	})
	return a
}

// ReadAheadBy is ReadAhead of what see has seen before: all of it, a piece after the other, on a goroutine of its own as well.
// It must keep none of them.
func ReadAheadBy(ctx context.Context, window int, see func([]byte), open func() (io.ReadCloser, error)) *Ahead {
	a, ctx := newAhead(ctx, window)
	unseen := make(chan []byte, 2)
	var err error
	a.done.Go(func() {
		defer close(unseen)
		err = a.read(ctx, open, unseen)
	})
	a.done.Go(func() {
		defer close(a.full)
		for chunk := range unseen {
			see(chunk)
			a.full <- chunk // Close takes what nobody reads
		}
		a.err = err
	})
	return a
}

func newAhead(ctx context.Context, window int) (*Ahead, context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	n := max(window/aheadChunk, 2)
	return &Ahead{cancel: cancel, full: make(chan []byte, n), empty: make(chan []byte, n)}, ctx
}

func (a *Ahead) read(ctx context.Context, open func() (io.ReadCloser, error), to chan<- []byte) error {
	r, err := open()
	if err != nil {
		return err
	}
	defer r.Close()
	return a.fill(ctx, r, to)
}

func (a *Ahead) fill(ctx context.Context, r io.Reader, to chan<- []byte) error {
	for {
		var chunk []byte
		select {
		case chunk = <-a.empty:
		default:
			chunk = chunks.Get().(*[aheadChunk]byte)[:]
		}
		n, err := io.ReadFull(r, chunk[:aheadChunk])
		if n > 0 {
			select {
			case to <- chunk[:n]:
			case <-ctx.Done():
				return ctx.Err()
			}
		} else {
			free(chunk)
		}
		switch {
		case err == nil:
		case n > 0 && err == io.ErrUnexpectedEOF:
			return a.ended(r)
		default:
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// ended tells a source's true end from a source that failed with io.ErrUnexpectedEOF itself.
func (a *Ahead) ended(r io.Reader) error {
	var b [1]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return err
	}
	return io.ErrUnexpectedEOF
}

// Read gives what was read ahead.
func (a *Ahead) Read(p []byte) (int, error) {
	if len(a.have) == 0 {
		if a.chunk != nil {
			select {
			case a.empty <- a.chunk:
			default:
			}
			a.chunk = nil
		}
		chunk, ok := <-a.full
		if !ok {
			return 0, a.err
		}
		a.chunk, a.have = chunk[:aheadChunk], chunk
	}
	n := copy(p, a.have)
	a.have = a.have[n:]
	return n, nil
}

// Close ends the reading and waits for it.
func (a *Ahead) Close() error {
	a.cancel()
	for chunk := range a.full {
		free(chunk)
	}
	a.done.Wait()
	if a.chunk != nil {
		free(a.chunk)
	}
	a.have, a.chunk = nil, nil
	for {
		select {
		case chunk := <-a.empty:
			free(chunk)
		default:
			return nil
		}
	}
}

func free(chunk []byte) { chunks.Put((*[aheadChunk]byte)(chunk[:aheadChunk])) }
