package apply

import (
	"context"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"microagent/plan"
	"microagent/plan/observed"
	"microagent/runtime/driver"

	"microagent/runtime/event"
)

func TestLinesAreGivenWhole(t *testing.T) {
	var got []string
	w := &lineWriter{limit: 8, each: func(text string) { got = append(got, text) }}
	for _, piece := range []string{"a", "b\nc\r\n", "\n", "123456789", "0\nend"} {
		if n, err := w.Write([]byte(piece)); n != len(piece) || err != nil {
			t.Fatal(n, err)
		}
	}
	w.flush()
	w.flush()
	want := []string{"ab", "c", "", "12345678... (2 bytes more)", "end"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// collected keeps all events.
type collected struct {
	mu  sync.Mutex
	all []event.Event
}

func (c *collected) Emit(e event.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, e)
}

// TestWhatATaskWritesIsTold runs a project and looks at the order of its events.
func TestWhatATaskWritesIsTold(t *testing.T) {
	b := newBench(t)
	b.write("microagent.yaml", strings.Replace(manifest, "echo 42 > /work/count", "echo 42 > /work/count; echo hello; echo oops >&2", 1))
	seen := &collected{}
	res, err := Run(t.Context(), b.drivers, b.plan(), b.files, Options{Events: seen})
	if err != nil || res.Err() != nil {
		t.Fatal(err, res.Err())
	}
	var of []string
	for _, e := range seen.all {
		if e.Address == "task/counter" {
			of = append(of, string(e.Type))
		}
	}
	if want := []string{"start", "output", "output", "done"}; !slices.Equal(of, want) {
		t.Errorf("%v, want %v", of, want)
	}
	if first := seen.all[0]; first.Type != event.TypePlan || len(first.Changes) == 0 {
		t.Errorf("the first event: %+v", first)
	}
}

// TestWhatIsShownOfATaskHasABound: of a task that writes on and on a part is shown, and where the rest is.
func TestWhatIsShownOfATaskHasABound(t *testing.T) {
	seen := &collected{}
	r := &run{events: seen}
	r.drivers.Runs = manyLines{}
	r.show(t.Context(), &plan.Change{Address: plan.Address{Kind: plan.KindTask, Name: "job"}, Workspace: &observed.WorkspaceSpec{Name: "p.job"}})()
	said, notes := 0, 0
	for _, e := range seen.all {
		said += len(e.Text())
		if e.Type == event.TypeNote {
			notes++
		}
	}
	if said < liveBudget/2 || said > liveBudget || notes != 1 {
		t.Errorf("%d bytes and %d notes", said, notes)
	}
}

// manyLines is a process that wrote a million lines.
type manyLines struct{ driver.Runs }

func (manyLines) Logs(ctx context.Context, _ string, _ driver.LogOptions, stdout, _ io.Writer) error {
	for range 1_000_000 {
		if _, err := io.WriteString(stdout, "a line of a task\n"); err != nil || ctx.Err() != nil {
			return err
		}
	}
	return nil
}
