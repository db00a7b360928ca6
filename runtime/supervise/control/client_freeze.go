package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"microagent/runtime/driver"
)

// FreezeTime is how long what is done while a volume is frozen may take: a little less than its guest allows.
const FreezeTime = 4500 * time.Millisecond

// ErrFreezeOver says that what was to be done while a volume is frozen takes longer than that may last.
var ErrFreezeOver = errors.New("it takes longer than the guest may be frozen")

// Freeze calls do once the guest writes nothing to an attached volume, whose file system needs no recovery then. What do gave
// stands where the error is nil: any other, but its own, says that the guest may have written meanwhile. do has until its
// context ends: ErrFreezeOver. ErrGone says that the supervisor ended. ErrUnsupported says that an older microagent, or guest, runs it.
func (c Client) Freeze(ctx context.Context, volume string, do func(ctx context.Context) error) error {
	return c.freeze(ctx, volume, FreezeTime, do)
}

func (c Client) freeze(ctx context.Context, volume string, limit time.Duration, do func(ctx context.Context) error) error {
	calling, thaw := context.WithCancel(ctx)
	defer thaw()
	began, done := false, error(nil)
	frozen := func() {
		if began {
			return
		}
		began = true
		defer thaw()
		doing, cancel := context.WithTimeout(calling, limit)
		defer cancel()
		if done = do(doing); errors.Is(doing.Err(), context.DeadlineExceeded) { // also what went well, and too late
			done = ErrFreezeOver
		}
	}
	_, err := call[outcome](calling, c, exchange{request: volumeRequest{c.head(CallFreeze), volume}, leaves: true, out: onFrame(frozen)})
	gone := errors.Is(err, context.Canceled) // no result came
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case done != nil && !(gone && errors.Is(done, ErrFreezeOver)):
		return done
	case gone:
		return fmt.Errorf("whether it was frozen all the time was not said: %w", ErrGone)
	case began && errors.Is(err, driver.ErrRefused): // the guest went on by itself
		return fmt.Errorf("%w: %w", ErrFreezeOver, err)
	case err == nil && !began:
		return errors.New("control: a freeze that never began")
	}
	return c.tooOld(err)
}

// Trim has the guest give the host back what no file of an attached volume has. ErrUnsupported says that an older
// microagent, or guest, runs it.
func (c Client) Trim(ctx context.Context, volume string) error {
	_, err := call[outcome](ctx, c, exchange{request: volumeRequest{c.head(CallTrim), volume}})
	return c.tooOld(err)
}

// onFrame is called for each frame of output.
type onFrame func()

func (f onFrame) Write(p []byte) (int, error) {
	f()
	return len(p), nil
}
