package cli

import (
	"context"
	"strings"
	"testing"
)

// TestInterruptedWaitForAJob leaves the job alone, and says how to end it.
func TestInterruptedWaitForAJob(t *testing.T) {
	b := newBench(t)
	for _, line := range []string{"create one --image docker.io/library/alpine:3.20", "start one", "exec -d one -- sh -c sleep"} {
		if s := b.run(strings.Fields(line)...); s.code != 0 {
			t.Fatal(s)
		}
	}
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	s := b.runContext(ctx, "wait", "--job", "job001", "one")
	if s.code != ExitInterrupted || !strings.Contains(s.stderr, "job job001 goes on; to end it: microagent halt --job job001 one\n") {
		t.Errorf("%+v", s)
	}
	if list := b.run("list", "--jobs"); !strings.Contains(list.out, "job001 one running ") {
		t.Errorf("%+v", list)
	}
}
