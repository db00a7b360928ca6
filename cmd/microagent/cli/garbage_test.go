package cli

import (
	"runtime"
	"runtime/metrics"
	"testing"
)

// TestCollectLate: what waits is the first collection alone, and not where a user said when there are any.
func TestCollectLate(t *testing.T) {
	percent := func() uint64 {
		now := []metrics.Sample{{Name: "/gc/gogc:percent"}}
		metrics.Read(now)
		return now[0].Value.Uint64()
	}
	usual := percent()
	collectLate(func(string) string { return "150" })
	if now := percent(); now != usual {
		t.Errorf("GOGC is set, and it is %d", now)
	}
	collectLate(func(string) string { return "" })
	for runtime.GC(); percent() != usual; runtime.Gosched() {
		runtime.GC() // the cleanup of the last may be yet to come
	}
}
