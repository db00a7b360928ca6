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

// Exec runs a process and gives its exit code. Signals and sizes reach it in their order, from before it has started.
// Ending ctx hangs up on it.
func (c Client) Exec(ctx context.Context, spec driver.ExecSpec, s driver.Streams) (code int, timedOut bool, err error) {
	hello, err := call[helloResult](ctx, c, exchange{request: c.head(CallHello)})
	if err != nil {
		return 0, false, err
	}
	var id [8]byte
	_, _ = rand.Read(id[:])
	req := execWire{
		ID: hex.EncodeToString(id[:]), Spec: specWireOf(spec), Input: s.Stdin != nil, Terminal: s.Terminal,
		Steered: hello.Minor >= minorSteered,
	}
	if s.Terminal && s.Resize != nil {
		select {
		case size := <-s.Resize:
			req.Rows, req.Columns = size.Rows, size.Columns
		case <-ctx.Done():
			return 0, false, ctx.Err()
		}
	}
	steering, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	x := exchange{request: execRequest{c.head(CallExec), &req}, input: s.Stdin, out: s.Stdout, err: s.Stderr}
	x.begun = func(*channel) {
		wg.Go(func() { steer(steering, s, func(w steeringWire) { c.steerByCall(steering, req.ID, w) }) })
	}
	if req.Steered {
		x.credit = newCredit()
		x.begun = func(ch *channel) {
			wg.Go(func() { steer(steering, s, func(w steeringWire) { _ = ch.sendJSON(frameSteering, w) }) })
		}
	}
	r, err := call[execResult](ctx, c, x)
	return r.Code, r.TimedOut, err
}

// steer passes signals and sizes on until ctx ends.
func steer(ctx context.Context, s driver.Streams, pass func(steeringWire)) {
	sizes, signals := s.Resize, s.Signals
	if !s.Terminal {
		sizes = nil
	}
	for {
		select {
		case <-ctx.Done():
			return
		case size, ok := <-sizes:
			if !ok {
				sizes = nil
				continue
			}
			pass(steeringWire{Rows: size.Rows, Columns: size.Columns})
		case sig, ok := <-signals:
			if !ok {
				signals = nil
				continue
			}
			pass(steeringWire{Signal: sig})
		}
	}
}

// askAgain is how soon a supervisor of minor 0 is asked again.
const askAgain = 25 * time.Millisecond

// steerByCall is the way of a supervisor of minor 0: a call of its own. It does not find an exec that is still being
// started, and nothing tells when it will: it is asked again until the exec is over. That the process has ended meanwhile
// is no error of anyone's.
func (c Client) steerByCall(ctx context.Context, id string, w steeringWire) {
	var req any = resizeRequest{c.head(CallResize), id, w.Rows, w.Columns}
	if w.Signal != "" {
		req = signalRequest{c.head(CallSignal), id, w.Signal}
	}
	for {
		_, err := call[outcome](ctx, c, exchange{request: req})
		if err == nil || !errors.Is(err, driver.ErrNotFound) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(askAgain):
		}
	}
}
