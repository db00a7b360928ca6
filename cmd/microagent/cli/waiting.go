package cli

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"microagent/runtime/event"
	"microagent/runtime/layout"
)

// waitsFor is what is said of a lock that another command holds.
func waitsFor(locked *layout.LockedError, atMost time.Duration) string {
	return fmt.Sprintf("waiting up to %s for its lock, held by %s", atMost, cmp.Or(locked.Holder, "another process"))
}

// sayWaits has people told of locks that are waited for in that context.
func (a *app) sayWaits(ctx context.Context) context.Context {
	return layout.Tell(ctx, func(locked *layout.LockedError, atMost time.Duration) {
		a.Say("%s %s: %s", locked.Kind, locked.Name, waitsFor(locked, atMost))
	})
}

// tellWaits has a note in the stream of each lock that is waited for in that context.
func (s *stream) tellWaits(ctx context.Context) context.Context {
	return layout.Tell(ctx, func(locked *layout.LockedError, atMost time.Duration) {
		if !s.begun {
			s.a.Say("%s %s: %s", locked.Kind, locked.Name, waitsFor(locked, atMost))
			return
		}
		s.Emit(event.Event{Type: event.TypeNote, Time: time.Now(), Address: locked.Kind + "/" + strings.TrimPrefix(locked.Name, s.project+"."),
			Message: waitsFor(locked, atMost)})
	})
}
