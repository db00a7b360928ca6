package supervise

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/guest/proto"
	"microagent/runtime/machine"
	"microagent/runtime/supervise/attach"
	"microagent/runtime/supervise/control"
)

// TestFreezeOfASilentGuest: one that does not freeze is given up, and one that does not say that it thawed is told of while
// the client still listens. The clock is the test's own.
func TestFreezeOfASilentGuest(t *testing.T) {
	for hangs, c := range map[string]struct {
		answers string
		why     string
		within  time.Duration // of the call, or of the client's leave
	}{
		"freeze": {"", "it did not freeze within 1m0s", freezeWait + 2*settle},
		"thaw":   {"freeze", "it did not thaw within 4s", control.LeaveTime - time.Nanosecond},
	} {
		t.Run(hangs, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := freezable(t, c.answers)
				ctx, leave := context.WithCancel(t.Context())
				began, frozen := time.Now(), false
				err := s.Freeze(ctx, "data", func() error {
					began, frozen = time.Now(), true
					leave()
					return nil
				})
				if took := time.Since(began); took > c.within || frozen == (hangs == "freeze") {
					t.Errorf("frozen: %v, after %s", frozen, took)
				}
				if !errors.Is(err, driver.ErrUnavailable) || strings.Count(err.Error(), "does not answer") != 1 ||
					!strings.HasSuffix(err.Error(), c.why) || driver.Next(err) != "to end it: microagent halt --force one" {
					t.Errorf("%v, next %s", err, driver.Next(err))
				}
			})
		})
	}
}

// TestFreezeThatNobodyEnds: a client that is late is told so, however long its guest says that it was frozen.
func TestFreezeThatNobodyEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := freezable(t, "freeze thaw")
		began := time.Now()
		err := s.Freeze(t.Context(), "data", func() error { return nil })
		if took := time.Since(began); !errors.Is(err, driver.ErrRefused) || took != proto.FreezeLimit {
			t.Errorf("after %s: %v", took, err)
		}
	})
}

// TestFreezeThatIsGivenUp before the guest said that it began: that is asked to end it, since it may begin all the same.
func TestFreezeThatIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := freezable(t, "")
		ctx, leave := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, leave)
		began := time.Now()
		err := s.Freeze(ctx, "data", func() error { t.Error("frozen"); return nil })
		if took := time.Since(began); err == nil || took != time.Second+thawWait {
			t.Errorf("after %s: %v", took, err)
		}
	})
}

// freezable is a supervisor whose guest writes to volume data, and answers only some calls.
func freezable(t *testing.T, answers string) calls {
	t.Helper()
	s, _, session := stuck(t, driver.WorkspaceSpec{Name: "one"}, answers)
	s.life = &life{session: session, run: "r", over: make(chan struct{})}
	s.disks = attach.Disks{{Kind: driver.MountVolume, Name: "data", Machine: machine.Disk{Serial: "m00"}}}
	return calls{s}
}
