package refresh

import (
	"errors"
	"testing"

	"microagent/runtime/driver"
)

func TestBrokenFilesOfOthersAreNoMatterOfAPlan(t *testing.T) {
	broken := func(name string) error {
		return &driver.Error{Class: driver.ErrCorrupt, Op: "read record of workspace", Object: name, Err: errors.New("torn")}
	}
	other := errors.New("list workspaces: input/output error")
	for _, c := range []struct {
		project string
		err     error
		want    bool
	}{
		{"mine", nil, false},
		{"mine", broken("mine.one"), true},
		{"mine", broken("yours.one"), false},
		{"mine", broken("mine-too.one"), false},
		{"mine", errors.Join(broken("yours.one"), broken("scratch")), false},
		{"mine", errors.Join(broken("yours.one"), broken("mine.one")), true},
		{"mine", errors.Join(broken("yours.one"), other), true},
		{"mine", other, true},
		{"mine", &driver.Error{Class: driver.ErrUnavailable, Object: "yours.one"}, true},
		{"", broken("mine.one"), false},
		{"", other, true},
	} {
		if got := concerning(c.project, c.err); (got != nil) != c.want {
			t.Errorf("project %q, %v: %v", c.project, c.err, got)
		}
	}
}
