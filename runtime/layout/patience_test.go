package layout

import (
	"context"
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// TestWaitForALockIsTold: once, a moment after it began, and with who holds it; a holder of an older version names fewer things.
func TestWaitForALockIsTold(t *testing.T) {
	s := State{Dir: t.TempDir()}
	const older = "pid 4711, microagent apply, since 2026-01-02T15:04:05Z"
	synctest.Test(t, func(t *testing.T) {
		unlock, err := s.Lock(t.Context(), "workspace", "one", 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(s.LockFile("workspace", "one"), []byte(older), 0o600); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		var told []time.Duration
		ctx := Tell(t.Context(), func(locked *LockedError, atMost time.Duration) {
			told = append(told, time.Since(begun))
			if locked.Kind != "workspace" || locked.Name != "one" || locked.Holder != older || atMost != time.Minute {
				t.Errorf("told of %+v, for %v", locked, atMost)
			}
		})
		var locked *LockedError
		if _, err := s.Lock(ctx, "workspace", "one", time.Minute); !errors.As(err, &locked) || locked.Holder != older {
			t.Errorf("locked: %v", err)
		}
		if len(told) != 1 || told[0] < time.Second || told[0] > 2*time.Second || time.Since(begun) < time.Minute {
			t.Errorf("told after %v, in a wait of %v", told, time.Since(begun))
		}
		unlock()
	})
}

// TestShortWaitForALockIsNotTold: nor is one that its context ends before.
func TestShortWaitForALockIsNotTold(t *testing.T) {
	s := State{Dir: t.TempDir()}
	synctest.Test(t, func(t *testing.T) {
		unlock, err := s.Lock(t.Context(), "workspace", "one", 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unlock()
		ctx, cancel := context.WithTimeout(Tell(t.Context(), func(locked *LockedError, _ time.Duration) {
			t.Errorf("told of %v", locked)
		}), patience/2)
		defer cancel()
		if _, err := s.Lock(ctx, "workspace", "one", time.Minute); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("cut: %v", err)
		}
		var locked *LockedError
		if _, err := s.Lock(Tell(t.Context(), func(*LockedError, time.Duration) { t.Error("told") }), "workspace", "one", 0); !errors.As(err, &locked) {
			t.Errorf("locked: %v", err)
		}
	})
}
