package qemu

import (
	"os"
	"time"
)

// stopwatch measures the frequency of the CPU's time stamp counter. Under TCG the guest reads the host's, and
// calibrating it there costs time and can fail; so the kernel is told.
type stopwatch struct {
	at    time.Time
	count uint64
}

// minWatch is how long a measurement takes at the least: good for some 20 ppm, and 100 are enough.
const minWatch = 5 * time.Millisecond

// startStopwatch reads clock and counter. Being interrupted between the two spoils that: the quickest of a few pairs counts.
func startStopwatch() (s stopwatch) {
	best := time.Duration(1<<63 - 1)
	for range 5 {
		before := time.Now()
		count := readTSC()
		if took := time.Since(before); took < best {
			best = took
			s = stopwatch{before.Add(took / 2), count}
		}
	}
	return s
}

// khz gives the frequency, or 0 where the counter is none that runs evenly.
func (s stopwatch) khz() uint64 {
	text, err := os.ReadFile("/proc/cpuinfo")
	if s.count == 0 || err != nil || !hasCPUFlag(text, "constant_tsc") {
		return 0
	}
	if rest := minWatch - time.Since(s.at); rest > 0 {
		time.Sleep(rest)
	}
	now := startStopwatch()
	return uint64(float64(now.count-s.count) * 1e6 / float64(now.at.Sub(s.at).Nanoseconds()))
}
