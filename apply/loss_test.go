package apply

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"microagent/apply/refresh"
	"microagent/plan"
	"microagent/runtime/driver"
)

// TestWhatCantBeKept: where there is no room to keep a root file system nothing of it is lost, unless the user gave it up by
// name; and another is not given up by that.
func TestWhatCantBeKept(t *testing.T) {
	smaller := alone("", "disk: 512MiB, service: [sh, -c, sleep 1]")
	for _, c := range []struct {
		op, manifest string // what finds no room; "" destroys
		lossy        string
		lost         bool
	}{
		{"replace", smaller, "", false},
		{"replace", smaller, "workspace/other", false},
		{"replace", smaller, "workspace/web", true},
		{"retire", "", "", false},
		{"retire", "", "workspace/web", true},
	} {
		t.Run(c.op+" "+c.lossy, func(t *testing.T) {
			b := newBench(t)
			b.write("microagent.yaml", alone("", "service: [sh, -c, sleep 1]"))
			b.mustApply()
			before, err := b.workspaces.Get(t.Context(), "demo.web")
			b.must(err)
			b.workspaces.Fail = func(op, _ string) error {
				if op == c.op {
					return &driver.Error{Op: op, Err: syscall.ENOSPC}
				}
				return nil
			}
			var p *plan.Plan
			if b.lossy = nil; c.lossy != "" {
				b.lossy = []string{c.lossy}
			}
			if c.manifest != "" {
				b.write("microagent.yaml", c.manifest)
				p = b.plan()
			} else {
				w, err := refresh.Project(t.Context(), b.drivers, "demo", refresh.Options{})
				b.must(err)
				p, _ = plan.Destroy("demo", w, plan.Options{Tool: "test", AllowDataLoss: b.lossy})
			}
			res := b.apply(t.Context(), p)
			now, err := b.workspaces.Get(t.Context(), "demo.web")
			switch {
			case c.lost && (res.Err() != nil || err == nil && now.ID == before.ID):
				t.Errorf("given up: %v, %+v, %v", res.Err(), now, err)
			case !c.lost && (err != nil || now.ID != before.ID || len(res.Failed) != 1):
				t.Errorf("not given up: %v, %+v, %v", res.Failed, now, err)
			case !c.lost:
				failed := res.Failed[0].Err
				if next := driver.Next(failed); !errors.Is(failed, driver.ErrNoSpace) || !strings.Contains(next, "--allow-data-loss=workspace/web") {
					t.Errorf("%v (%s)", failed, next)
				}
			}
		})
	}
}
