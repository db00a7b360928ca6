package readiness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"microagent/runtime/driver"
	"microagent/schema/spec"
)

// acted is a guest whose probes answer by the time since the start.
type acted struct {
	began time.Time
	exec  func(since time.Duration) Probed
	up    []time.Duration // at which a port or a file comes and goes
	err   error           // which the watch ends with after that
}

func (g *acted) Probe(ctx context.Context, r spec.Ready, say func(error)) <-chan Probed {
	to := make(chan Probed)
	go func() {
		defer close(to)
		t := time.NewTicker(r.Interval)
		defer t.Stop()
		if g.err != nil {
			say(g.err)
			return
		}
		for {
			to <- g.exec(time.Since(g.began))
			select {
			case <-t.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return to
}

func (g *acted) Listening(ctx context.Context, _ uint16, say func(error)) <-chan bool {
	return g.watch(ctx, say)
}

func (g *acted) Changed(ctx context.Context, _ string, say func(error)) <-chan bool {
	return g.watch(ctx, say)
}

func (g *acted) watch(ctx context.Context, say func(error)) <-chan bool {
	to := make(chan bool)
	go func() {
		defer close(to)
		to <- false
		for i, at := range g.up {
			select {
			case <-time.After(time.Until(g.began.Add(at))):
			case <-ctx.Done():
				return
			}
			to <- i%2 == 0
		}
		if g.err != nil {
			say(g.err)
			return
		}
		<-ctx.Done()
	}()
	return to
}

// follow gives the changes within a time: "waiting@0s never@3s: words".
func follow(t *testing.T, r spec.Ready, g *acted, line <-chan struct{}, within time.Duration) string {
	t.Helper()
	g.began = time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	var all []string
	Follow(ctx, r, g, line, func(now driver.Readiness, changed bool, _ int) {
		if changed {
			text := fmt.Sprintf("%s@%s", now.State, time.Since(g.began))
			if now.Words != "" {
				text += ": " + now.Words
			}
			all = append(all, text)
		}
	})
	synctest.Wait()
	return strings.Join(all, " ")
}

func TestExecProbe(t *testing.T) {
	ready := spec.Ready{Exec: []string{"x"}, Interval: time.Second, Timeout: 5 * time.Second, Failures: 3}
	after := func(d time.Duration) func(time.Duration) Probed {
		return func(since time.Duration) Probed {
			if since >= d {
				return Probed{}
			}
			return Probed{Code: 1, Said: "no answer"}
		}
	}
	patient := ready
	patient.StartPeriod = 5 * time.Second
	for name, c := range map[string]struct {
		ready spec.Ready
		guest acted
		want  string
	}{
		"at once":          {ready, acted{exec: after(0)}, "waiting@0s ready@0s"},
		"too late":         {ready, acted{exec: after(10 * time.Second)}, "waiting@0s never@2s: exit code 1: no answer ready@10s"},
		"in its period":    {patient, acted{exec: after(6500 * time.Millisecond)}, "waiting@0s ready@7s"},
		"after its period": {patient, acted{exec: after(8 * time.Second)}, "waiting@0s never@7s: exit code 1: no answer ready@8s"},
		"not there":        {patient, acted{exec: func(time.Duration) Probed { return Probed{Code: 127, Said: "not found"} }}, "waiting@0s never@0s: exit code 127: not found"},
		"not executable":   {patient, acted{exec: func(time.Duration) Probed { return Probed{Code: 126} }}, "waiting@0s never@0s: exit code 126"},
		"no answer":        {ready, acted{exec: func(time.Duration) Probed { return Probed{TimedOut: true, Said: "hm"} }}, "waiting@0s never@2s: it took longer than 5s: hm"},
		"can't be told":    {patient, acted{err: errors.New("the agent is too old")}, "waiting@0s never@0s: the agent is too old"},
		"lost": {ready, acted{exec: func(since time.Duration) Probed {
			if since >= 3*time.Second && since < 10*time.Second {
				return Probed{Code: 2}
			}
			return Probed{}
		}}, "waiting@0s ready@0s lost@5s: exit code 2 ready@10s"},
		"one that fails now and then": {ready, acted{exec: func(since time.Duration) Probed {
			return Probed{Code: int(since/time.Second) % 3}
		}}, "waiting@0s ready@0s"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if got := follow(t, c.ready, &c.guest, nil, 12*time.Second); got != c.want {
					t.Errorf("got  %s\nwant %s", got, c.want)
				}
			})
		})
	}
}

func TestWatchedProbes(t *testing.T) {
	ready := spec.Ready{Port: 80, Interval: time.Second, Failures: 3}
	for name, c := range map[string]struct {
		guest acted
		want  string
	}{
		"seen at once":  {acted{up: []time.Duration{1234 * time.Millisecond}}, "waiting@0s ready@1.234s"},
		"never":         {acted{}, "waiting@0s never@3s: nothing listens on port 80 in the guest"},
		"lost":          {acted{up: []time.Duration{time.Second, 5500 * time.Millisecond}}, "waiting@0s ready@1s lost@8.5s: nothing listens on port 80 in the guest"},
		"back in time":  {acted{up: []time.Duration{time.Second, 5 * time.Second, 7 * time.Second}}, "waiting@0s ready@1s"},
		"can't be told": {acted{err: errors.New("the agent is too old")}, "waiting@0s never@0s: the agent is too old"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if got := follow(t, ready, &c.guest, nil, 12*time.Second); got != c.want {
					t.Errorf("got  %s\nwant %s", got, c.want)
				}
			})
		})
	}
}

func TestLogProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line := NewLine("listening on")
		out, errs := line.Watch(io.Discard), line.Watch(io.Discard)
		go func() {
			time.Sleep(500 * time.Millisecond)
			for _, part := range []string{"list", "en", "ing", " on :80\n"} {
				_, _ = io.WriteString(out, part)
				_, _ = io.WriteString(errs, "noise\n")
				time.Sleep(time.Second / 4)
			}
		}()
		got := follow(t, spec.Ready{Log: "listening on", Interval: time.Second, Failures: 3}, &acted{}, line.Found(), 12*time.Second)
		if got != "waiting@0s ready@1.25s" {
			t.Error(got)
		}
	})
}

// FuzzLine: a text is found exactly when it is in what was written to one of the streams, however that is cut.
func FuzzLine(f *testing.F) {
	f.Add("ready", "it is re", "ady now", uint8(3))
	f.Add("a", "", "a", uint8(1))
	f.Add("aab", "aaaa", "b", uint8(1))
	f.Fuzz(func(t *testing.T, text, first, second string, size uint8) {
		if text == "" {
			return
		}
		line := NewLine(text)
		var passed strings.Builder
		w := line.Watch(&passed)
		all := first + second
		for rest := all; rest != ""; {
			n := min(len(rest), int(size)+1)
			_, _ = io.WriteString(w, rest[:n])
			rest = rest[n:]
		}
		found := false
		select {
		case <-line.Found():
			found = true
		default:
		}
		if found != strings.Contains(all, text) || passed.String() != all {
			t.Errorf("%q in %q by %d: %v, and %q passed", text, all, size, found, passed.String())
		}
	})
}
