package driver

import (
	"errors"
	"strings"
	"testing"
)

// TestInRun: what was started, replaced or changed since is another run's.
func TestInRun(t *testing.T) {
	run := func(id string, p Phase) *Run { return &Run{ID: id, Phase: p, SpecDigest: "d"} }
	for name, c := range map[string]struct {
		w    Workspace
		want bool
	}{
		"it goes on":                     {Workspace{Run: run("r", PhaseReady), RecordDigest: "d"}, true},
		"it goes on, updated since":      {Workspace{Run: run("r", PhaseReady), RecordDigest: "e"}, true},
		"it ended":                       {Workspace{Run: run("r", PhaseFinished), RecordDigest: "d"}, true},
		"it was lost":                    {Workspace{Run: run("r", PhaseLost), RecordDigest: "d"}, true},
		"it ended and was replaced":      {Workspace{Run: run("r", PhaseFinished), RecordDigest: "e"}, false},
		"it was started since":           {Workspace{Run: run("s", PhaseReady), RecordDigest: "d"}, false},
		"it was deleted and made anew":   {Workspace{RecordDigest: "d"}, false},
		"its id begins so":               {Workspace{Run: run("rs", PhaseReady), RecordDigest: "d"}, false},
		"it ended, and so did a new one": {Workspace{Run: run("s", PhaseFinished), RecordDigest: "d"}, false},
	} {
		err := c.w.InRun("r")
		if (err == nil) != c.want || err != nil && (!errors.Is(err, ErrRefused) || Next(err) == "") {
			t.Errorf("%s: %v", name, err)
		}
		if part := name == "its id begins so"; err != nil && strings.Contains(err.Error(), "write all of it") != part {
			t.Errorf("%s: %v", name, err)
		}
		if err := c.w.InRun(""); err != nil {
			t.Errorf("%s, of any: %v", name, err)
		}
	}
}
