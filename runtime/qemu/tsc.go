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

// minWatch is how long a measurement takes at the least: good for some 10 ppm, and 100 are enough.
const minWatch = 20 * time.Millisecond

func startStopwatch() stopwatch { return stopwatch{time.Now(), readTSC()} }

// khz gives the frequency, or 0 where the counter is none that runs evenly.
func (s stopwatch) khz() uint64 {
	text, err := os.ReadFile("/proc/cpuinfo")
	if s.count == 0 || err != nil || !hasCPUFlag(text, "constant_tsc") {
		return 0
	}
	if rest := minWatch - time.Since(s.at); rest > 0 {
		time.Sleep(rest)
	}
	// Being interrupted between the two reads spoils the measure: the quickest of a few pairs counts.
	best := time.Duration(1<<63 - 1)
	var khz uint64
	for range 5 {
		before := time.Now()
		count := readTSC()
		took := time.Since(before)
		if took < best {
			best = took
			khz = (count - s.count) * 1000 / uint64(before.Add(took/2).Sub(s.at).Microseconds())
		}
	}
	return khz
}
