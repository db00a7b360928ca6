package control

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

// freezing is a supervisor that freezes as it is told.
type freezing struct {
	Service
	freeze func(ctx context.Context, volume string, frozen func() error) error
}

func (freezing) Status() driver.Run { return driver.Run{ID: "r"} }
func (f freezing) Freeze(ctx context.Context, volume string, frozen func() error) error {
	return f.freeze(ctx, volume, frozen)
}

// TestFreeze: what was done counts when the volume was frozen until it was done, and it is thawed whatever becomes of the client.
func TestFreeze(t *testing.T) {
	thawed := make(chan string, 1)
	until := func(after error) freezing {
		return freezing{freeze: func(ctx context.Context, volume string, frozen func() error) error {
			err := frozen()
			<-ctx.Done()
			thawed <- volume
			return errors.Join(err, after)
		}}
	}
	ended := func() { // the call, with what it froze
		t.Helper()
		if volume := <-thawed; volume != "data" {
			t.Errorf("thawed %q", volume)
		}
	}
	done := 0
	do := func(context.Context) error { done++; return nil }

	if err := listening(t, until(nil)).freeze(t.Context(), "data", time.Hour, do); err != nil || done != 1 {
		t.Errorf("%d, %v", done, err)
	}
	ended()
	refused := &driver.Error{Class: driver.ErrRefused, Op: "thaw", Object: "data", Err: errors.New("its time was over")}
	if err := listening(t, until(refused)).freeze(t.Context(), "data", time.Hour, do); !errors.Is(err, driver.ErrRefused) || !errors.Is(err, ErrFreezeOver) {
		t.Errorf("thawed too early: %v", err)
	}
	ended()
	if err := listening(t, until(nil)).freeze(t.Context(), "data", time.Hour, func(context.Context) error { return io.ErrShortWrite }); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("what failed meanwhile: %v", err)
	}
	ended()
	wait := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	if err := listening(t, until(nil)).freeze(t.Context(), "data", time.Nanosecond, wait); !errors.Is(err, ErrFreezeOver) {
		t.Errorf("what takes too long: %v", err)
	}
	ended()
	if err := listening(t, until(nil)).freeze(t.Context(), "data", time.Nanosecond, func(ctx context.Context) error { <-ctx.Done(); return nil }); !errors.Is(err, ErrFreezeOver) {
		t.Errorf("what went well, and took too long: %v", err)
	}
	ended()
	ctx, cancel := context.WithCancel(t.Context())
	if err := listening(t, until(nil)).freeze(ctx, "data", time.Hour, func(ctx context.Context) error { cancel(); return wait(ctx) }); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	ended()
	never := freezing{freeze: func(context.Context, string, func() error) error { return refused }}
	if err := listening(t, never).freeze(t.Context(), "data", time.Hour, func(context.Context) error { t.Error("done"); return nil }); !errors.Is(err, driver.ErrRefused) {
		t.Errorf("never frozen: %v", err)
	}
	silent := freezing{freeze: func(context.Context, string, func() error) error { return nil }}
	if err := listening(t, silent).freeze(t.Context(), "data", time.Hour, do); err == nil {
		t.Error("one that never began counts")
	}
}

// TestFreezeOfWhatIsGone: a supervisor that ended is told of as one, and not as one whose guest was frozen for too long.
func TestFreezeOfWhatIsGone(t *testing.T) {
	folder := workspace(t)
	l, err := net.Listen("unix", folder.File(layout.ControlSocket))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	killed := make(chan func() error, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		killed <- conn.Close
		ch := newChannel(conn)
		if _, _, err := ch.receive(); err == nil {
			_ = ch.sendJSON(frameOut, "data")
		}
	}()
	err = Client{Folder: folder}.freeze(t.Context(), "data", time.Nanosecond, func(ctx context.Context) error {
		if err := (<-killed)(); err != nil {
			t.Error(err)
		}
		<-ctx.Done()
		return ctx.Err()
	})
	if !errors.Is(err, ErrGone) {
		t.Errorf("%v", err)
	}
}
