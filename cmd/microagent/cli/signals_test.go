package cli

import (
	"context"
	"errors"
	"syscall"
	"testing"
)

// TestSignals: the first ends the context, the next one is the handler's, once there is one.
func TestSignals(t *testing.T) {
	for _, first := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		a := &app{}
		ctx, stop := a.interruptible(t.Context())
		called := make(chan struct{})
		forget := a.onSecondSignal(func() { close(called) })
		for _, s := range []syscall.Signal{first, syscall.SIGINT} {
			if err := syscall.Kill(syscall.Getpid(), s); err != nil {
				t.Fatal(err)
			}
			<-ctx.Done()
		}
		<-called
		if err := context.Cause(ctx); !errors.Is(err, errInterrupted) {
			t.Errorf("%v ended it with %v", first, err)
		}
		forget()
		stop()
	}
}
