package readiness

import (
	"testing"
	"time"

	"microagent/runtime/driver"
	"microagent/schema/spec"
)

// FuzzJudge holds whatever probes say to what a user was told: nothing is given up within the start period or before so
// many failures in a row, and a probe that passes makes it ready, always.
func FuzzJudge(f *testing.F) {
	f.Add([]byte("ffffpffffp"), uint8(3), uint8(0))
	f.Add([]byte("fffffb"), uint8(1), uint8(4))
	f.Add([]byte("pbbbb"), uint8(2), uint8(0))
	f.Fuzz(func(t *testing.T, probes []byte, failures, period uint8) {
		began := time.Unix(0, 0)
		start := time.Duration(period) * time.Second
		j := NewJudge(spec.Ready{Port: 1, Failures: int(failures), StartPeriod: start}, began)
		row, passed := 0, false
		for i, p := range probes {
			at := began.Add(time.Duration(i) * time.Second)
			before := j.State()
			var changed bool
			switch p % 3 {
			case 0:
				changed = j.Passed(at)
				row, passed = 0, true
			case 1:
				changed = j.Failed(at, "words")
				if passed || at.Sub(began) >= start {
					row++
				}
			default:
				changed = j.Broken(at, "words")
				if row++; !passed {
					row = 1 << 10
				}
			}
			now := j.State()
			if changed != (now.State != before.State) || changed != !now.Since.Equal(before.Since) && i > 0 {
				t.Fatalf("probe %d: changed is %v from %+v to %+v", i, changed, before, now)
			}
			want := driver.ReadyWaiting
			switch gone := row >= max(int(failures), 1); {
			case gone && passed:
				want = driver.ReadyLost
			case gone:
				want = driver.ReadyNever
			case passed && (before.State == driver.ReadyLost || before.State == driver.ReadyNever) && p%3 != 0:
				want = before.State
			case passed:
				want = driver.ReadyYes
			}
			if now.State != want {
				t.Fatalf("after probe %d, %d failures in a row of %d, passed %v: %s, not %s", i, row, failures, passed, now.State, want)
			}
			if (now.Words == "") != (p%3 == 0 || before.Words == "" && i == -1) {
				t.Fatalf("probe %d: words %q", i, now.Words)
			}
			if p%3 == 2 && before.State == driver.ReadyWaiting {
				row = 1 << 10
			}
		}
	})
}
