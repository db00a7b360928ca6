package workspace

import (
	"context"
	"slices"
	"testing"
	"time"

	"microagent/runtime/driver"
)

// BenchmarkCopyAndBoot measures, by turns, from Start's call to a guest that is ready: one that is a copy of a template, and one
// that boots. What counts is the median of their ratios.
func BenchmarkCopyAndBoot(b *testing.B) {
	s, name := benched(b)
	begin := func(o driver.StartOptions) (driver.Run, float64) {
		began := time.Now()
		run, err := s.Start(context.Background(), name, o)
		took := time.Since(began)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := s.Stop(context.Background(), name, driver.StopOptions{Force: true}); err != nil {
			b.Fatal(err)
		}
		return run, float64(took.Microseconds()) / 1000
	}
	first, saved := begin(driver.StartOptions{})
	if first.Boot == nil || !first.Boot.Saved {
		b.Fatalf("%+v", first.Boot)
	}
	var copies, boots, ratios []float64
	for b.Loop() {
		run, copied := begin(driver.StartOptions{})
		if run.Boot == nil || run.Boot.Template == "" {
			b.Fatalf("%+v", run.Boot)
		}
		_, booted := begin(driver.StartOptions{Fresh: true})
		copies, boots, ratios = append(copies, copied), append(boots, booted), append(ratios, copied/booted)
	}
	for unit, list := range map[string][]float64{"copy-ms": copies, "boot-ms": boots, "copy/boot": ratios} {
		slices.Sort(list)
		b.ReportMetric(list[len(list)/2], unit)
	}
	b.ReportMetric(saved, "save-ms") // now: a loop forgets what was reported before it
}
