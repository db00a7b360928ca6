package layout

import (
	"context"
	"time"
)

// patience is how long a lock is waited for without a word.
const patience = time.Second

// Told is called once of each lock that is waited for longer than a moment, with how long it is waited for at most. It is
// called while that goes on, and the wait goes on when it returns.
type Told func(locked *LockedError, atMost time.Duration)

type toldKey struct{}

// Tell has those told by tell who wait for locks in that context.
func Tell(ctx context.Context, tell Told) context.Context {
	return context.WithValue(ctx, toldKey{}, tell)
}

func toldOf(ctx context.Context) Told {
	tell, _ := ctx.Value(toldKey{}).(Told)
	return tell
}
