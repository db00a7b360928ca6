package proto

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
)

// TestStatsOfAHostileGuest: whatever a guest says, sums and differences of it stay numbers, and lists stay short.
func TestStatsOfAHostileGuest(t *testing.T) {
	var disks []DiskUse
	for i := range 1000 {
		disks = append(disks, DiskUse{Path: strings.Repeat("/\xff\x1b", 10_000) + fmt.Sprint(i), Size: math.MaxInt64, Used: math.MaxInt64})
	}
	got := Stats{CPUs: math.MaxInt, Busy: math.MaxInt64, Idle: math.MinInt64, Load: [3]float64{math.NaN(), math.Inf(1), -1}, Memory: -1,
		Available: math.MaxInt64, Tasks: -5, Disks: disks}.bounded()
	if got.CPUs > 1<<12 || got.Busy <= 0 || got.Idle != 0 || got.Memory != 0 || got.Available != 0 || got.Tasks != 0 || got.Load != [3]float64{0, maxLoad, 0} {
		t.Errorf("%+v", got)
	}
	if len(got.Disks) > MaxMounts+1 || len(got.Disks[0].Path) > 2*MaxText || got.Disks[0].Used > got.Disks[0].Size {
		t.Errorf("%d disks, a path of %d bytes", len(got.Disks), len(got.Disks[0].Path))
	}
	if _, err := json.Marshal(got); err != nil {
		t.Error(err)
	}
}
