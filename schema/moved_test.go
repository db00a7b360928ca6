package schema

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
)

func TestNamesBefore(t *testing.T) {
	m := Manifest{Moved: []Moved{
		{Volume: "b", To: "c"}, {Volume: "a", To: "b"}, {Volume: "other", To: "another"},
		{Workspace: "a", To: "w"}, {Project: "c", To: "c"},
	}}
	if got := m.NamesNow("volume"); !maps.Equal(got, map[string]string{"a": "c", "b": "c", "other": "another"}) {
		t.Errorf("volumes are now %v", got)
	}
	if got := m.NamesBefore("volume", "c"); !slices.Equal(got, []string{"b", "a"}) {
		t.Errorf("c was %v", got)
	}
	for of, want := range map[string]string{"a": "c", "c": "c", "unmoved": "unmoved"} {
		if got := m.NameNow("volume", of); got != want {
			t.Errorf("%s is %s now, not %s", of, got, want)
		}
	}
}

// TestMoveEnds compares with who goes each way by itself, one step for each name that there is.
func TestMoveEnds(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 0))
		to := map[string]string{}
		for i := range 1 + r.IntN(8) {
			to[strconv.Itoa(i)] = strconv.Itoa(r.IntN(10))
		}
		want := map[string]string{}
		for from := range to {
			name := from
			for range len(to) {
				if to[name] != "" {
					name = to[name]
				}
			}
			if to[name] != "" {
				name = ""
			}
			want[from] = name
		}
		if got := moveEnds(to); !maps.Equal(got, want) {
			t.Fatalf("seed %d: %v ends at %v, not %v", seed, to, got, want)
		}
	}
}
