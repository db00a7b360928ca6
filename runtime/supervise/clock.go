package supervise

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"microagent/runtime/guest/proto"
)

const (
	clockPeriod = 5 * time.Second
	clockJump   = time.Second
)

// watchClock sets the guest's clock when the host has slept: CLOCK_BOOTTIME runs on then, CLOCK_MONOTONIC and the
// guest do not.
func (s *supervisor) watchClock(ctx context.Context, session *proto.Session) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		t := time.NewTicker(clockPeriod)
		defer t.Stop()
		slept := suspended()
		for {
			select {
			case <-ctx.Done():
				return
			case <-session.Done():
				return
			case <-t.C:
			}
			now := suspended()
			if now-slept < clockJump {
				continue
			}
			setting, cancel := context.WithTimeout(ctx, clockPeriod)
			err := session.SetTime(setting, time.Now())
			cancel()
			if err != nil {
				s.log.Warn("set the guest's clock", "error", err)
				continue
			}
			slept = now
		}
	}()
	return func() { cancel(); <-done }
}

// suspended is how long the host has slept since it booted.
func suspended() time.Duration {
	var boot, mono unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot) != nil || unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono) != nil {
		return 0
	}
	return time.Duration(boot.Nano() - mono.Nano())
}
