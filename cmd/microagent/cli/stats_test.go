package cli

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"microagent/cmd/microagent/cli/term"
	"microagent/cmd/microagent/cli/view"
)

// TestStats shows the use of what runs, and refuses what does not.
func TestStats(t *testing.T) {
	b := newBench(t)
	for _, line := range []string{"create one --image docker.io/library/alpine:3.20", "create two --image docker.io/library/alpine:3.20", "start one"} {
		if s := b.run(strings.Fields(line)...); s.code != 0 {
			t.Fatal(s)
		}
	}
	want := "NAME CPU% MEM DISK READ WRITTEN GUEST-CPU% GUEST-MEM GUEST-LOAD GUEST-DISKS\n" +
		"one 55.0 220MiB 50MiB 1MiB 2MiB 50.0 64MiB/256MiB 0.50 /:25%\n"
	for _, line := range []string{"stats --interval 1ms", "top --interval 1ms one"} {
		if s := b.run(strings.Fields(line)...); s.code != 0 || s.out != want {
			t.Errorf("%s: %d, %q and %q", line, s.code, s.out, s.stderr)
		}
	}
	if s := b.run("stats", "two"); s.code != ExitRefused || !strings.Contains(s.stderr, "it does not run") || !strings.Contains(s.stderr, "next: microagent start two") {
		t.Errorf("%+v", s)
	}
}

// TestStatsGoesOn until it is interrupted: a record for each look.
func TestStatsGoesOn(t *testing.T) {
	b := newBench(t)
	b.run("create", "one", "--image", "docker.io/library/alpine:3.20")
	b.run("start", "one")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	r, w := io.Pipe()
	a := &app{Screen: &term.Screen{In: strings.NewReader(""), Out: w, Err: io.Discard, Getenv: func(string) string { return "" }}, world: b.world}
	code := make(chan int, 1)
	go func() {
		code <- a.main(ctx, []string{"stats", "--json", "--watch", "--interval", "1ms"})
		w.Close()
	}()
	records := json.NewDecoder(r)
	for i := range 3 {
		var u view.Usage
		if err := records.Decode(&u); err != nil || u.Workspace != "one" || u.Host.CPUPercent == nil || *u.Host.CPUPercent != 55 {
			t.Fatalf("record %d: %+v, %v", i, u, err)
		}
	}
	cancel(errInterrupted)
	_, _ = io.Copy(io.Discard, r)
	if c := <-code; c != ExitInterrupted {
		t.Errorf("exit code %d", c)
	}
}
