package workspace

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"microagent/runtime/driver"
)

// BenchmarkCopyAndBoot measures, by turns, from Start's call to a guest that is ready: one that is a copy of a template, and one
// that boots. What counts is the median of their ratios. And what the VMM of a copy has of memory that it shares with nobody, once
// the guest of 256 MiB is ready and before it works.
func BenchmarkCopyAndBoot(b *testing.B) {
	s, name := benched(b)
	var own float64
	begin := func(o driver.StartOptions) (driver.Run, float64) {
		began := time.Now()
		run, err := s.Start(context.Background(), name, o)
		took := time.Since(began)
		if err != nil {
			b.Fatal(err)
		}
		own = ownMiB(run.PID)
		if _, err := s.Stop(context.Background(), name, driver.StopOptions{Force: true}); err != nil {
			b.Fatal(err)
		}
		return run, float64(took.Microseconds()) / 1000
	}
	first, saved := begin(driver.StartOptions{})
	if first.Boot == nil || !first.Boot.Saved {
		b.Fatalf("%+v", first.Boot)
	}
	var copies, boots, ratios, owned []float64
	for b.Loop() {
		run, copied := begin(driver.StartOptions{})
		if run.Boot == nil || run.Boot.Template == "" {
			b.Fatalf("%+v", run.Boot)
		}
		owned = append(owned, own)
		_, booted := begin(driver.StartOptions{Fresh: true})
		copies, boots, ratios = append(copies, copied), append(boots, booted), append(ratios, copied/booted)
	}
	for unit, list := range map[string][]float64{"copy-ms": copies, "boot-ms": boots, "copy/boot": ratios, "copy-own-MiB": owned} {
		slices.Sort(list)
		b.ReportMetric(list[len(list)/2], unit)
	}
	b.ReportMetric(saved, "save-ms") // now: a loop forgets what was reported before it
}

// ownMiB is the anonymous memory of a process's descendant that has most of it, in MiB: below a supervisor that is the VMM with
// the guest.
func ownMiB(pid int) (most float64) {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // each has those that it started
	for _, file := range threads {
		children, _ := os.ReadFile(file)
		for child := range strings.FieldsSeq(string(children)) {
			id, err := strconv.Atoi(child)
			if err != nil {
				continue
			}
			text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", id))
			_, rest, _ := strings.Cut(string(text), "\nAnonymous:")
			kib, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
			own, _ := strconv.ParseFloat(kib, 64)
			most = max(most, own/1024, ownMiB(id))
		}
	}
	return most
}
