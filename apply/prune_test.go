package apply

import (
	"context"
	"errors"
	"slices"
	"testing"

	"microagent/runtime/driver"
	"microagent/runtime/event"
)

// pruner tries to prune every image at each event of an apply.
type pruner struct {
	b    *bench
	errs []error
}

func (p *pruner) Emit(event.Event) {
	_, _, err := p.b.drivers.Images.Prune(context.Background(), unused, false)
	p.errs = append(p.errs, err)
}

func unused() (map[string]bool, error) { return nil, nil }

// TestPruneAndApply: a prune between a plan and its apply makes the plan stale, and the next one brings the image back; within
// an apply nothing is pruned.
func TestPruneAndApply(t *testing.T) {
	b := newBench(t)
	b.write("microagent.yaml", alone("", "desired: stopped, service: [sh, -c, sleep 1]"))
	b.mustApply()
	b.write("microagent.yaml", alone("", "desired: stopped, disk: 128MiB, service: [sh, -c, sleep 1]"))
	p := b.plan()
	if _, names, err := b.drivers.Images.Prune(t.Context(), unused, false); err != nil || len(names) != 1 {
		t.Fatalf("prune: %v, %v", names, err)
	}
	_, err := Run(t.Context(), b.drivers, p, b.files, Options{})
	if stale, ok := errors.AsType[*StaleError](err); !ok || !slices.Contains(stale.Moved, "example.org/base:1 is gone from the store") {
		t.Fatalf("apply of a plan that counts on what was pruned: %v", err)
	}
	hostile := &pruner{b: b}
	res, err := Run(t.Context(), b.drivers, b.plan(), b.files, Options{Events: hostile})
	if err != nil || res.Err() != nil {
		t.Fatalf("planned anew: %v, %v", err, res)
	}
	for _, err := range hostile.errs {
		if !errors.Is(err, driver.ErrLocked) {
			t.Errorf("a prune within an apply: %v", err)
		}
	}
	if len(hostile.errs) == 0 {
		t.Error("the apply told nothing")
	}
}
