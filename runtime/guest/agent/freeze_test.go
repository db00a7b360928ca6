package agent

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/guest/proto"
	"microagent/runtime/guest/proto/wire"
)

// icy is a guest with one disk, which counts.
type icy struct {
	still
	frozen, open atomic.Int32
	onSync       func()
}

func (i *icy) Freezer(string) (Freezer, error) { i.open.Add(1); return ice{i}, nil }

type ice struct{ i *icy }

func (h ice) Sync() error {
	if h.i.onSync != nil {
		h.i.onSync()
	}
	return nil
}
func (h ice) Freeze() error { h.i.frozen.Add(1); return nil }
func (h ice) Thaw() error   { h.i.frozen.Add(-1); return nil }
func (h ice) Close() error  { h.i.open.Add(-1); return nil }

func icyAgent() (*icy, *Agent) {
	guest := &icy{}
	return guest, &Agent{system: guest, configured: &wire.ConfigureRequest{}, procs: map[string]*process{}, hostGone: make(chan struct{})}
}

// TestFreezeEnds: by the host, by the agent's own time, and with the guest; never later, and what is asked for too late says so.
func TestFreezeEnds(t *testing.T) {
	one := &wire.FreezeRequest{Serial: "m00", LimitNanos: int64(time.Hour)} // as a host asks that can't be trusted with it
	thaw := &wire.ThawRequest{Serial: "m00"}
	synctest.Test(t, func(t *testing.T) {
		guest, a := icyAgent()
		state := func(when string, frozen int32) {
			t.Helper()
			synctest.Wait()
			if guest.frozen.Load() != frozen || guest.open.Load() != frozen {
				t.Errorf("%s: %d frozen, %d open", when, guest.frozen.Load(), guest.open.Load())
			}
		}
		if _, err := a.Freeze(t.Context(), one); err != nil {
			t.Fatal(err)
		}
		state("frozen", 1)
		if _, err := a.Freeze(t.Context(), one); !errors.Is(err, driver.ErrRefused) {
			t.Errorf("twice: %v", err)
		}
		state("a second host", 1)
		if _, err := a.Thaw(t.Context(), thaw); err != nil {
			t.Error(err)
		}
		state("thawed", 0)

		if _, err := a.Freeze(t.Context(), one); err != nil {
			t.Fatal(err)
		}
		time.Sleep(proto.FreezeLimit - time.Millisecond)
		state("a moment before its time is over", 1)
		time.Sleep(time.Millisecond)
		state("its time is over", 0)
		if _, err := a.Thaw(t.Context(), thaw); !errors.Is(err, driver.ErrRefused) {
			t.Errorf("too late: %v", err)
		}

		gone, cancel := context.WithCancel(t.Context())
		guest.onSync = cancel
		if _, err := a.Freeze(gone, one); err == nil {
			t.Error("frozen for a host that is gone")
		}
		state("a host that is gone", 0)

		guest.onSync = func() {
			if _, err := a.Thaw(t.Context(), thaw); !errors.Is(err, driver.ErrRefused) {
				t.Errorf("too early: %v", err)
			}
		}
		if _, err := a.Freeze(t.Context(), one); !errors.Is(err, driver.ErrRefused) {
			t.Errorf("given up: %v", err)
		}
		guest.onSync = nil
		state("a host that gave it up meanwhile", 0)

		if _, err := a.Freeze(t.Context(), one); err != nil {
			t.Fatal(err)
		}
		a.frozen.close()
		state("the guest shuts down", 0)
		if _, err := a.Freeze(t.Context(), one); !errors.Is(err, driver.ErrRefused) {
			t.Errorf("in a guest that shuts down: %v", err)
		}
		state("refused", 0)
	})
}
