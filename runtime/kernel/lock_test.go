package kernel

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"microagent/runtime/driver"
)

// TestInstallWaitsForAnother only so long, and no longer than its caller.
func TestInstallWaitsForAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		unlock, err := s.state.Lock(t.Context(), "kernels", s.arch, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.install(t.Context(), fakeParts("6.1.0-9-cloud-amd64"), nil)
		if !errors.Is(err, driver.ErrLocked) || driver.Next(err) == "" {
			t.Errorf("%v, next %q", err, driver.Next(err))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.install(ctx, fakeParts("6.1.0-9-cloud-amd64"), nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the caller went away: %v", err)
		}
		time.AfterFunc(lockWait/2, unlock)
		if _, err := s.install(t.Context(), fakeParts("6.1.0-9-cloud-amd64"), nil); err != nil {
			t.Errorf("the other one ended: %v", err)
		}
	})
}
