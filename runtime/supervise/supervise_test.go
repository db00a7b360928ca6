package supervise

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/runtime/supervise/control"
)

func workspace(t *testing.T) layout.Workspace {
	t.Helper()
	w := layout.Workspace{Dir: t.TempDir()}
	if err := os.WriteFile(w.RootFS(), make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestEnvironmentIsClean(t *testing.T) {
	t.Setenv("MICROAGENT_TEST_HOOK", "1")
	t.Setenv("AWS_SECRET", "1")
	for _, e := range environment() {
		if strings.HasPrefix(e, "MICROAGENT") || strings.HasPrefix(e, "AWS") {
			t.Error(e)
		}
	}
}

func TestASpecOfAnotherVersionIsRefused(t *testing.T) {
	var ready bytes.Buffer
	err := Run(context.Background(), Spec{Version: Version + 1}, Options{Ready: &ready})
	if !errors.Is(err, driver.ErrUnsupported) || !strings.Contains(ready.String(), `"class":"not_supported"`) {
		t.Errorf("%v, ready line %q", err, ready.String())
	}
}

// A guest that stays silent is told of with the reason that the last attempt to reach it gave.
func TestLastReason(t *testing.T) {
	silent := &driver.Error{Op: "connect to guest", Err: errors.Join(context.DeadlineExceeded, errors.New("vsock port 1024: nothing listens"))}
	if got := lastReason(silent); got != "vsock port 1024: nothing listens" {
		t.Errorf("the reason is %q", got)
	}
}

// Of two changes at once, one of the life and one of an exec that collects, neither is overwritten by what was before it.
func TestRunFileIsNeverOlderThanTheRun(t *testing.T) {
	s := &supervisor{folder: layout.Workspace{Dir: t.TempDir()}}
	for round := range 300 {
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				if err := s.change(func(r *driver.Run) { r.Diagnostics = append(r.Diagnostics, "x") }); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
		run, err := control.ReadRun(s.folder)
		if err != nil {
			t.Fatal(err)
		}
		if want := 2 * (round + 1); len(run.Diagnostics) != want {
			t.Fatalf("run.json has %d of %d changes", len(run.Diagnostics), want)
		}
	}
}
