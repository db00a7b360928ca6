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
	exec  func(since time.Duration) (int, string, error)
	takes time.Duration
	ran   []time.Duration
	quiet string          // a letter for each command: whether what it writes was asked for
	up    []time.Duration // at which a port or a file comes and goes
	err   error           // which the watch ends with after that
}

func (g *acted) Exec(ctx context.Context, _ []string, _ time.Duration, quiet bool) (int, string, error) {
	since := time.Since(g.began)
	g.quiet += map[bool]string{true: "q", false: "w"}[quiet]
	g.ran = append(g.ran, since)
	select {
	case <-time.After(g.takes):
	case <-ctx.Done():
	}
	return g.exec(since)
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
	ready := spec.Ready{Exec: []string{"x"}, Interval: time.Second, Failures: 3}
	after := func(d time.Duration) func(time.Duration) (int, string, error) {
		return func(since time.Duration) (int, string, error) {
			if since >= d {
				return 0, "", nil
			}
			return 1, "no answer", nil
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
		"not there":        {patient, acted{exec: func(time.Duration) (int, string, error) { return 127, "not found", nil }}, "waiting@0s never@0s: exit code 127: not found"},
		"not executable":   {patient, acted{exec: func(time.Duration) (int, string, error) { return 126, "", nil }}, "waiting@0s never@0s: exit code 126"},
		"no answer":        {ready, acted{exec: func(time.Duration) (int, string, error) { return 0, "", errors.New("it took longer than 5s") }}, "waiting@0s never@2s: it took longer than 5s"},
		"lost": {ready, acted{exec: func(since time.Duration) (int, string, error) {
			if since >= 3*time.Second && since < 10*time.Second {
				return 2, "", nil
			}
			return 0, "", nil
		}}, "waiting@0s ready@0s lost@5s: exit code 2 ready@10s"},
		"one that fails now and then": {ready, acted{exec: func(since time.Duration) (int, string, error) {
			return int(since/time.Second) % 3, "", nil
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

// TestExecProbesAreQuiet while they pass: what one says is asked for until it is ready, by another run of the first that fails
// after that, then until one passes, and always where one failure is a change.
func TestExecProbesAreQuiet(t *testing.T) {
	for failures, want := range map[int]string{3: "wwqqqwwwqqqqq", 1: "wwwwwwwwwwww"} {
		synctest.Test(t, func(t *testing.T) {
			g := &acted{exec: func(since time.Duration) (int, string, error) {
				if since < time.Second || since >= 4*time.Second && since < 6*time.Second {
					return 1, "", nil
				}
				return 0, "", nil
			}}
			follow(t, spec.Ready{Exec: []string{"x"}, Interval: time.Second, Failures: failures, StartPeriod: time.Minute}, g, nil, 11500*time.Millisecond)
			if g.quiet != want {
				t.Errorf("with %d failures: %s, not %s", failures, g.quiet, want)
			}
		})
	}
}

// TestExecProbesOneAtATime: one that takes longer than the interval is followed by the next at once, and never overlaps.
// TestFirstFailureIsTold with what the command wrote, although nobody asked for that while it passed.
func TestFirstFailureIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		again func() (int, string, error)
		want  string
	}{
		"fails again":  {func() (int, string, error) { return 3, "no answer", nil }, "exit code 3: no answer"},
		"passes":       {func() (int, string, error) { return 0, "", nil }, "exit code 1: it passed at once when it was run again"},
		"can't be run": {func() (int, string, error) { return 0, "", errors.New("it took longer than 5s") }, "exit code 1: it took longer than 5s"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 5500*time.Millisecond)
				defer cancel()
				g := &acted{began: time.Now()}
				g.exec = func(since time.Duration) (int, string, error) {
					switch {
					case since < 5*time.Second:
						return 0, "", nil
					case g.quiet[len(g.quiet)-1] == 'q':
						return 1, "", nil
					}
					return c.again()
				}
				var last driver.Readiness
				Follow(ctx, spec.Ready{Exec: []string{"x"}, Interval: time.Second, Failures: 3}, g, nil, func(now driver.Readiness, _ bool, failed int) {
					if last = now; failed > 1 {
						t.Errorf("%d failures count", failed)
					}
				})
				if last.State != driver.ReadyYes || last.Words != c.want {
					t.Errorf("%+v, want %s", last, c.want)
				}
			})
		})
	}
}

func TestExecProbesOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &acted{takes: 1500 * time.Millisecond, exec: func(time.Duration) (int, string, error) { return 0, "", nil }}
		follow(t, spec.Ready{Exec: []string{"x"}, Interval: time.Second, Failures: 3}, g, nil, 4*time.Second)
		if want := "[0s 1.5s 3s]"; fmt.Sprint(g.ran) != want {
			t.Errorf("they ran at %v, not %s", g.ran, want)
		}
	})
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
