package view

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/drivertest"
	"microagent/runtime/kernel"
)

// notShown are what drivers know and users don't get, by path, and why.
var notShown = map[string]string{
	"run.boot_id":          "which boot of the host its supervisor's number is of",
	"run.start":            "when its supervisor's process began, in the host's ticks",
	"run.live":             "what a plan rests on; the plan says it",
	"run.loss_of":          "whether a loss is still to be kept, which whoever looks does",
	"spec.applied":         "the engine's own form of the spec",
	"holder.boot_id":       "as of a run",
	"holder.start":         "as of a run",
	"workspace.loss_shown": "says of a terminal whether it was told",
}

// TestNothingIsForgotten: what a driver says of an object is shown, under the same name, or listed above.
func TestNothingIsForgotten(t *testing.T) {
	used := map[string]bool{}
	for name, c := range map[string][2]any{
		"workspace": pair(t, OfWorkspace), "volume": pair(t, OfVolume), "snapshot": pair(t, OfSnapshot), "image": pair(t, OfImage), "run": pair(t, OfRun), "output": pair(t, OfCollected),
		"copied": pair(t, OfCopied), "kernel": pair(t, func(k kernel.Installed) Kernel { return OfKernel(k) }),
		"finding": pair(t, func(f driver.Finding) Finding { return OfFindings([]driver.Finding{f})[0] }),
	} {
		said, shown := paths(t, c[0]), paths(t, c[1])
		for path := range said {
			if shown[path] {
				continue
			}
			hidden := false
			for p := range notShown {
				if strings.Contains("."+name+"."+path+".", "."+p+".") {
					hidden, used[p] = true, true
				}
			}
			if !hidden {
				t.Errorf("%s: %s is not shown", name, path)
			}
		}
	}
	for _, p := range slices.Sorted(maps.Keys(notShown)) {
		if !used[p] {
			t.Errorf("%s is listed, and there is none", p)
		}
	}
}

// TestReadinessOfWhatEnded: what does not run is neither ready nor waiting.
func TestReadinessOfWhatEnded(t *testing.T) {
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	ended := since.Add(time.Hour)
	for _, c := range []struct {
		run   driver.Run
		probe driver.ReadyState
		want  string
		since time.Time
	}{
		{driver.Run{Phase: driver.PhaseRunning}, driver.ReadyYes, "ready", since},
		{driver.Run{Phase: driver.PhaseStarting}, driver.ReadyWaiting, "waiting", since},
		{driver.Run{Phase: driver.PhaseFinished, Stopped: true, Ended: &ended}, driver.ReadyYes, "ended", ended},
		{driver.Run{Phase: driver.PhaseFailed, Ended: &ended}, driver.ReadyWaiting, "ended", ended},
		{driver.Run{Phase: driver.PhaseLost}, driver.ReadyYes, "ended", since},
		{driver.Run{Phase: driver.PhaseFailed, Ended: &ended}, driver.ReadyLost, "lost", since},
		{driver.Run{Phase: driver.PhaseFinished, Ended: &ended}, driver.ReadyNever, "never", since},
	} {
		c.run.Readiness = &driver.Readiness{Probe: "port 80", State: c.probe, Since: since, Words: "words"}
		want := Readiness{"port 80", c.want, c.since, "words"}
		if got := OfRun(c.run).Readiness; *got != want {
			t.Errorf("%s of a run that is %s: %+v, not %+v", c.probe, c.run.Phase, *got, want)
		}
	}
}

// TestEnvironmentIsHidden: a workspace's environment may hold a secret.
func TestEnvironmentIsHidden(t *testing.T) {
	ws := drivertest.Filled[driver.Workspace](t)
	ws.Spec.Process.Env = map[string]string{"TOKEN": "canary"}
	data, err := json.Marshal(OfWorkspace(ws))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), "canary") || !strings.Contains(string(data), `"TOKEN":"(hidden)"`) {
		t.Errorf("%s", data)
	}
}

// pair is a value in which every field has something, and what is shown of it.
func pair[T, V any](t *testing.T, show func(T) V) [2]any {
	v := drivertest.Filled[T](t)
	return [2]any{v, show(v)}
}

// paths are the names in a value's JSON.
func paths(t *testing.T, v any) map[string]bool {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := json.Unmarshal(data, &tree); err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	var walk func(at string, v any)
	walk = func(at string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, below := range v {
				all[at+name] = true
				walk(at+name+".", below)
			}
		case []any:
			for _, below := range v {
				walk(at, below)
			}
		}
	}
	walk("", tree)
	return all
}

// TestPercent: no answer of a guest becomes something that is no number.
func TestPercent(t *testing.T) {
	for _, c := range []struct {
		part, whole time.Duration
		cpus        int
		want        string
	}{{1, 2, 1, "50"}, {1, 1, 4, "400"}, {-1, 1, 1, "none"}, {1, 0, 1, "none"}, {1, -1, 1, "none"}, {math.MaxInt64, 1, 1, "none"}, {1, 3, 1, "33.3"}} {
		got := "none"
		if p := percent(c.part, c.whole, c.cpus); p != nil {
			got = fmt.Sprint(*p)
		}
		if got != c.want {
			t.Errorf("%d of %d: %s, want %s", c.part, c.whole, got, c.want)
		}
	}
}
