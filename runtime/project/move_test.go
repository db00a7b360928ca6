package project

import (
	"maps"
	"slices"
	"testing"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

// TestMoveIsWholeAtEveryStep cuts a move short behind each of its steps, and does it again.
func TestMoveIsWholeAtEveryStep(t *testing.T) {
	steps := -1
	for done := 0; steps < 0 || done <= steps; done++ {
		state := layout.State{Dir: t.TempDir()}
		s := New(state, "test")
		for _, p := range []driver.Project{
			{Name: "old", Manifest: "/m", Outputs: map[string]string{"/out": "1"}},
			{Name: "new", Manifest: "/m", MovingFrom: "old"},
		} {
			if err := s.Put(t.Context(), p); err != nil {
				t.Fatal(err)
			}
		}
		for _, r := range []struct{ project, line string }{{"old", "first"}, {"old", "second"}, {"new", "third"}} {
			if err := s.Record(r.project, []byte(r.line)); err != nil {
				t.Fatal(err)
			}
		}
		all := s.moveSteps(t.Context(), "old", "new")
		steps = len(all)
		for _, step := range all[:done] {
			if err := step(); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Move(t.Context(), "old", "new"); err != nil {
			t.Fatalf("%d steps: %v", done, err)
		}
		list, err := s.List(t.Context())
		if err != nil || len(list) != 1 || list[0].Name != "new" || list[0].MovingFrom != "" || !maps.Equal(list[0].Outputs, map[string]string{"/out": "1"}) {
			t.Errorf("%d steps: %+v, %v", done, list, err)
		}
		for project, want := range map[string][]string{"new": {"first", "second", "third"}, "old": nil} {
			var got []string
			if err := s.Read(t.Context(), project, false, func(line []byte) error {
				got = append(got, string(line))
				return nil
			}); err != nil || !slices.Equal(got, want) {
				t.Errorf("%d steps: history of %s: %q, %v", done, project, got, err)
			}
		}
	}
}
