package apply

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"microagent/runtime/driver"
)

const ordered = `project: demo
workspaces:
  db: {image: example.org/base:1, service: [sh, -c, 'sleep 1000'], ready: {port: 80}}
  migrate: {image: example.org/base:1, task: [sh, -c, 'exit 0'], after: {db: ready}}
  web: {image: example.org/base:1, service: [sh, -c, 'sleep 1000'], ready: {port: 80}, after: {migrate: completed}}
  alone: {image: example.org/base:1}
`

// sequenceOf gives the workspaces of a project that was applied.
func sequenceOf(t *testing.T, text string) (*bench, []driver.Workspace) {
	t.Helper()
	b := newBench(t)
	b.write("microagent.yaml", text)
	b.mustApply()
	all, err := b.workspaces.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return b, all
}

// TestSequence: what comes after another goes down before it and up after it, whichever begins; what could not go up keeps
// down what comes after it, and nothing else.
func TestSequence(t *testing.T) {
	_, all := sequenceOf(t, ordered)
	for _, fails := range []string{"", "demo.migrate"} {
		synctest.Test(t, func(t *testing.T) {
			seq := NewSequence(all, all)
			began := make(chan string, 2*len(all)) // as they come
			errs := map[string]chan error{}
			for _, ws := range all { // by name: alone, db, migrate, web
				name := ws.Spec.Name
				errs[name] = make(chan error, 1)
				go func() {
					err := seq.Down(t.Context(), name, func() error { began <- "-" + name; return nil })
					if err == nil {
						err = seq.Up(t.Context(), name, func() error {
							began <- "+" + name
							if name == fails {
								return errors.New("it does not start")
							}
							return nil
						})
					}
					seq.Leave(name, err)
					errs[name] <- err
				}()
				synctest.Wait()
			}
			close(began)
			var order []string
			for what := range began {
				if !strings.HasSuffix(what, "alone") {
					order = append(order, what)
				}
			}
			want := []string{"-demo.web", "-demo.migrate", "-demo.db", "+demo.db", "+demo.migrate", "+demo.web"}
			if fails != "" {
				want = want[:5]
			}
			if !slices.Equal(order, want) {
				t.Errorf("%v, not %v", order, want)
			}
			for name, ended := range errs {
				err := <-ended
				switch {
				case fails == "" || name == "demo.db" || name == "demo.alone":
					if err != nil {
						t.Errorf("%s: %v", name, err)
					}
				case name == "demo.web":
					if err == nil || err.Error() != "start workspace demo.web: it was not started: it comes after demo.migrate, which is not completed" {
						t.Errorf("%v", err)
					}
				}
			}
		})
	}
}

// TestSequenceNeeds: a workspace has to be as far as those after it want, of the sequence or of all.
func TestSequenceNeeds(t *testing.T) {
	_, all := sequenceOf(t, ordered)
	seq := NewSequence(all, all)
	for name, want := range map[string]string{"demo.db": "ready", "demo.migrate": "completed", "demo.web": "", "demo.alone": ""} {
		if got := string(seq.Needed(name)); got != want {
			t.Errorf("%s has to be %q, not %q", name, got, want)
		}
		if got := AwaitedReady(all, name); got != (want == "ready") {
			t.Errorf("%s is waited for: %v", name, got)
		}
		if got := NewSequence(all[:1], all).Needed(name); got != "" {
			t.Errorf("alone, %s has to be %q", name, got)
		}
	}
}

// TestSequenceThroughOthers: what comes after another by way of a workspace that is not of the sequence waits for it.
func TestSequenceThroughOthers(t *testing.T) {
	_, all := sequenceOf(t, ordered)
	some := slices.DeleteFunc(slices.Clone(all), func(ws driver.Workspace) bool { return ws.Spec.Name == "demo.migrate" })
	seq := NewSequence(some, all)
	if got := seq.Needed("demo.db"); got != "ready" {
		t.Errorf("the database has to be %q", got)
	}
	seq.Leave("demo.db", errors.New("it does not start"))
	err := seq.Up(t.Context(), "demo.web", func() error { return nil })
	if err == nil || err.Error() != "start workspace demo.web: it was not started: it comes after demo.db, which is not ready" {
		t.Error(err)
	}
}

// TestSequenceLeaves: nobody waits for what has left, or once the command ends.
func TestSequenceLeaves(t *testing.T) {
	_, all := sequenceOf(t, ordered)
	seq := NewSequence(all, all)
	seq.Leave("demo.web", errors.New("its halt failed"))
	if err := seq.Down(t.Context(), "demo.migrate", func() error { return nil }); err != nil {
		t.Error(err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := seq.Up(over, "demo.migrate", func() error { t.Error("it started"); return nil }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestAwaitCompleted: a task that was started by hand is over when it ended with 0.
func TestAwaitCompleted(t *testing.T) {
	b, _ := sequenceOf(t, ordered)
	b.workspaces.Hold("demo.migrate")
	run, err := b.workspaces.Start(t.Context(), "demo.migrate", driver.StartOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b.workspaces.Finish("demo.migrate", 3)
	_, err = Started{Name: "demo.migrate", Mode: driver.ModeTask, Run: run}.AwaitCompleted(t.Context(), b.drivers)
	if failed, ok := errors.AsType[*TaskError](err); !ok || failed.ExitCode != 3 {
		t.Error(err)
	}
	if _, err := b.workspaces.Start(t.Context(), "demo.migrate", driver.StartOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := (Started{Name: "demo.migrate", Mode: driver.ModeTask}).AwaitCompleted(t.Context(), b.drivers); err != nil {
		t.Error(err)
	}
}
