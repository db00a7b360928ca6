package control

import (
	"context"
	"sync/atomic"
	"testing"

	"microagent/schema/spec"
)

// lender lends ports, and takes its time to let go of them.
type lender struct {
	Service
	letGo func()
}

func (l lender) Forward(ctx context.Context, list []spec.Port, _ bool, bound func([]spec.Port) error) error {
	if err := bound(list); err != nil {
		return err
	}
	<-ctx.Done()
	l.letGo()
	return ctx.Err()
}

// TestForwardLeavesNothing: when a client has ended its call, what was lent to it is taken back.
func TestForwardLeavesNothing(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	leaving, goOn := make(chan struct{}), make(chan struct{})
	var back atomic.Bool
	client := listening(t, lender{letGo: func() {
		close(leaving)
		<-goOn
		back.Store(true)
	}})
	ended := make(chan error)
	go func() {
		ended <- client.Forward(ctx, []spec.Port{{Guest: 80, Auto: true}}, func([]spec.Port) error {
			interrupt()
			return nil
		})
	}()
	<-leaving
	select {
	case err := <-ended:
		t.Errorf("it ended before its ports were taken back: %v", err)
		close(goOn)
	default:
		close(goOn)
		if err := <-ended; err != nil || !back.Load() {
			t.Errorf("%v, taken back: %v", err, back.Load())
		}
	}
}
