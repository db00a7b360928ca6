package ch

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrExited says that the VMM's process ended before its API answered.
var ErrExited = errors.New("the VMM ended before its API answered")

// WaitForAPI asks vmm.ping until it is answered, the process is gone (exited is closed: ErrExited), or ctx ends.
// exited may be nil.
func (c *Client) WaitForAPI(ctx context.Context, exited <-chan struct{}) (Ping, error) {
	pause := 2 * time.Millisecond
	for {
		p, err := c.Ping(ctx)
		if err == nil {
			return p, nil
		}
		select {
		case <-ctx.Done():
			return Ping{}, fmt.Errorf("wait for the VMM's API: %w (last: %w)", context.Cause(ctx), err)
		case <-exited:
			return Ping{}, fmt.Errorf("wait for the VMM's API: %w", ErrExited)
		case <-time.After(pause):
		}
		pause = min(2*pause, 100*time.Millisecond)
	}
}
