package proto

import (
	"math"
	"testing"
)

// TestExitCodesThatCantBe: a process of the host's keeps the low byte of what it is told to end with.
func TestExitCodesThatCantBe(t *testing.T) {
	for code, want := range map[int32]int{0: 0, 3: 3, 255: 255, 256: 255, math.MinInt32: 255, -1: 255, 1 << 16: 255} {
		if got := exitCode(code); got != want {
			t.Errorf("%d: %d, want %d", code, got, want)
		}
	}
}
