package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"microagent/cmd/microagent/cli/term"
	"microagent/runtime/driver"
	"microagent/runtime/event"
	"microagent/runtime/layout"
)

// lockedStart starts what it has the lock of.
type lockedStart struct {
	driver.Runs
	state layout.State
}

func (s lockedStart) Start(ctx context.Context, name string, _ driver.StartOptions) (driver.Run, error) {
	unlock, err := s.state.Lock(ctx, "workspace", name, time.Hour)
	if err == nil {
		unlock()
	}
	return driver.Run{}, err
}

// Who starts a workspace that another command works on is told once for whom that waits.
func TestAStartSaysForWhomItWaits(t *testing.T) {
	state, workspaces := layout.State{Dir: t.TempDir()}, newBench(t).workspaces
	synctest.Test(t, func(t *testing.T) {
		unlock, err := state.Lock(t.Context(), "workspace", "one", 0)
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Minute, unlock)
		var errs bytes.Buffer
		a := &app{Screen: &term.Screen{Err: &errs, Progress: "plain", Getenv: func(string) string { return "" }}}
		w := &world{}
		w.Runs, w.Workspaces = lockedStart{state: state}, workspaces
		if _, err := a.startGuest(t.Context(), w, "one", driver.StartOptions{}, true); err != nil {
			t.Error(err)
		}
		if text := errs.String(); strings.Count(text, "\n") != 1 || !strings.HasPrefix(text, "one: waiting up to 1h0m0s for its lock, held by pid ") {
			t.Errorf("said %q", text)
		}
	})
}

// A lock that a command with a stream waits for is a note in it, of the object as its project names it; before the stream has begun
// it is said.
func TestAStreamSaysForWhomItWaits(t *testing.T) {
	state := layout.State{Dir: t.TempDir()}
	synctest.Test(t, func(t *testing.T) {
		unlock, err := state.Lock(t.Context(), "workspace", "shop.web", 0)
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Minute, unlock)
		var out, errs bytes.Buffer
		a := &app{Screen: &term.Screen{Out: &out, Err: &errs, JSON: true, Getenv: func(string) string { return "" }}}
		err = a.runStreamed(t.Context(), "apply", func(ctx context.Context, s *stream) error {
			s.begin("shop", nil)
			unlock, err := state.Lock(ctx, "workspace", "shop.web", time.Hour)
			if err == nil {
				unlock()
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
		var notes []event.Event
		for line := range strings.Lines(out.String()) {
			var e event.Event
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatal(err)
			}
			if e.Type == event.TypeNote {
				notes = append(notes, e)
			}
		}
		if len(notes) != 1 || notes[0].Address != "workspace/web" || !strings.HasPrefix(notes[0].Message, "waiting up to 1h0m0s for its lock, held by pid ") {
			t.Errorf("noted %+v", notes)
		}
		if errs.Len() != 0 {
			t.Errorf("said %q", errs.String())
		}
	})
	synctest.Test(t, func(t *testing.T) {
		unlock, err := state.Lock(t.Context(), "project", "shop", 0)
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Minute, unlock)
		var errs bytes.Buffer
		a := &app{Screen: &term.Screen{Out: &bytes.Buffer{}, Err: &errs, Getenv: func(string) string { return "" }}}
		err = a.runStreamed(t.Context(), "apply", func(ctx context.Context, s *stream) error {
			unlock, err := state.Lock(ctx, "project", "shop", time.Hour)
			if err == nil {
				unlock()
			}
			return err
		})
		if text := errs.String(); err != nil || !strings.HasPrefix(text, "project shop: waiting up to 1h0m0s for its lock, held by pid ") {
			t.Errorf("said %q, %v", text, err)
		}
	})
}
