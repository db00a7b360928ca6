// Package lane says how much the slow tests try. Tests of all packages import it.
//
//	go test ./... -short          no guest is booted
//	testscripts/run               a sample where every case takes its time
//	TESTS=all testscripts/run     every case: for the night
package lane

import (
	"os"
	"testing"
)

// All says that every case is to be tried.
func All() bool { return os.Getenv("TESTS") == "all" }

// Count is how many cases to try: sample of them, or all.
func Count(sample, all int) int {
	if All() {
		return all
	}
	return min(sample, all)
}

// Steps are the numbers below n to try: all, or a sample over the whole range with the first and the last.
func Steps(sample, n int) []int {
	k := Count(max(sample, 2), n)
	list := make([]int, 0, k)
	for i := range k {
		at := i
		if k > 1 {
			at = i * (n - 1) / (k - 1)
		}
		list = append(list, at)
	}
	return list
}

// Guest skips a test that boots guests, with -short.
func Guest(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("boots guests: left out with -short")
	}
}
