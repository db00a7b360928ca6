package control

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"sync"
	"time"

	"microagent/runtime/driver"
)

// Exec runs a process and gives its exit code. Ending ctx hangs up on it.
func (c Client) Exec(ctx context.Context, spec driver.ExecSpec, s driver.Streams) (code int, timedOut bool, err error) {
	var id [8]byte
	_, _ = rand.Read(id[:])
	req := execWire{ID: hex.EncodeToString(id[:]), Spec: specWire(spec), Input: s.Stdin != nil, Terminal: s.Terminal}
	steering, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	if s.Terminal && s.Resize != nil {
		select {
		case size := <-s.Resize:
			req.Rows, req.Columns = size.Rows, size.Columns
		case <-ctx.Done():
			return 0, false, ctx.Err()
		}
	}
	wg.Go(func() { c.steer(steering, req.ID, s) })
	r, err := call[execResult](ctx, c, exchange{request: execRequest{head(CallExec), &req}, input: s.Stdin, out: s.Stdout, err: s.Stderr})
	return r.Code, r.TimedOut, err
}

// steer passes signals and sizes on until ctx ends.
func (c Client) steer(ctx context.Context, id string, s driver.Streams) {
	sizes, signals := s.Resize, s.Signals
	if !s.Terminal {
		sizes = nil
	}
	for {
		var req any
		select {
		case <-ctx.Done():
			return
		case size, ok := <-sizes:
			if !ok {
				sizes = nil
				continue
			}
			req = resizeRequest{head(CallResize), id, size.Rows, size.Columns}
		case sig, ok := <-signals:
			if !ok {
				signals = nil
				continue
			}
			req = signalRequest{head(CallSignal), id, sig}
		}
		c.deliver(ctx, req)
	}
}

// deliver makes one steering call. A process that is still being started does not know its id yet: it is tried
// again for a moment. That it has ended meanwhile is no error of anyone's.
func (c Client) deliver(ctx context.Context, req any) {
	for range 40 {
		_, err := call[outcome](ctx, c, exchange{request: req})
		if err == nil || !errors.Is(err, driver.ErrNotFound) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(25 * time.Millisecond):
		}
	}
}
