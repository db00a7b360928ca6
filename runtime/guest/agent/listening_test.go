package agent

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestPaceOfLooks: the first sign after a while is looked at at once, those that follow it no sooner than they may be, and
// nobody looks for a host that is gone.
func TestPaceOfLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var looks pace
		took := func(wait time.Duration) time.Duration {
			time.Sleep(wait)
			began := time.Now()
			if !looks.await(t.Context(), nil, 5*time.Millisecond) {
				t.Fatal("cut short")
			}
			looks.begin()
			return time.Since(began)
		}
		for _, c := range []struct{ after, waits time.Duration }{{0, 0}, {0, 5}, {2, 3}, {5, 0}, {1000, 0}, {0, 5}} {
			if got := took(c.after * time.Millisecond); got != c.waits*time.Millisecond {
				t.Errorf("a sign %d ms after the last look waits %s, not %d ms", c.after, got, c.waits)
			}
		}
		gone := make(chan struct{})
		close(gone)
		if looks.await(t.Context(), gone, time.Hour) {
			t.Error("it looks for a host that is gone")
		}
	})
}
