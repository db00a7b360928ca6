package supervise

import "time"

// How long a restart waits: the first not at all, the second for firstPause, each one after it twice as long as the one
// before, up to lastPause. A run that was ready for resetAfter makes the next restart a first one.
const (
	firstPause = time.Second
	lastPause  = time.Minute
	resetAfter = time.Minute
)

// backOff counts restarts. The zero value is before the first.
type backOff struct {
	restarted bool
	pause     time.Duration // of the last
}

// next is how long the restart after a run waits that was ready for a time.
func (b *backOff) next(ready time.Duration) time.Duration {
	switch {
	case !b.restarted, ready >= resetAfter:
		b.pause = 0
	case b.pause == 0:
		b.pause = firstPause
	default:
		b.pause = min(2*b.pause, lastPause)
	}
	b.restarted = true
	return b.pause
}
