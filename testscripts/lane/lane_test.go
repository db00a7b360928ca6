package lane

import (
	"fmt"
	"testing"
)

func TestSteps(t *testing.T) {
	for _, c := range []struct {
		tests  string
		sample int
		n      int
		want   string
	}{
		{"", 3, 11, "[0 5 10]"}, {"", 4, 2, "[0 1]"}, {"", 3, 1, "[0]"}, {"", 3, 0, "[]"}, {"", 1, 9, "[0 8]"},
		{"all", 3, 5, "[0 1 2 3 4]"},
	} {
		t.Setenv("TESTS", c.tests)
		if got := fmt.Sprint(Steps(c.sample, c.n)); got != c.want {
			t.Errorf("TESTS=%s, %d of %d: %s", c.tests, c.sample, c.n, got)
		}
	}
}
