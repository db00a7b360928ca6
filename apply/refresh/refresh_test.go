package refresh

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"microagent/runtime/driver"
)

// TestUnreadable: a record that can't be understood is a matter of its own object, and any other error one of everybody.
func TestUnreadable(t *testing.T) {
	broken := func(name string) error {
		return &driver.Error{Class: driver.ErrCorrupt, Op: "read record of workspace", Object: name, Err: errors.New("torn")}
	}
	later := &driver.Error{Class: driver.ErrUnsupported, Op: "read record of workspace", Object: "mine.two", Err: errors.New("format 9"), Next: "use microagent 9 or later"}
	other := errors.New("list workspaces: input/output error")
	for _, c := range []struct {
		err  error
		want []string
		left bool
	}{
		{nil, nil, false},
		{broken("mine.one"), []string{"mine.one"}, false},
		{errors.Join(broken("yours.one"), later), []string{"mine.two", "yours.one"}, false},
		{errors.Join(broken("yours.one"), errors.Join(other, broken("mine.one"))), []string{"mine.one", "yours.one"}, true},
		{other, nil, true},
		{&driver.Error{Class: driver.ErrUnavailable, Object: "yours.one"}, nil, true},
	} {
		got, err := unreadable(c.err)
		if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, c.want) || (err != nil) != c.left {
			t.Errorf("%v: %v, left %v", c.err, names, err)
		}
	}
	if got, _ := unreadable(later); got["mine.two"].Next != later.Next || got["mine.two"].Why != "format 9" {
		t.Errorf("%+v", got)
	}
	for name, of := range map[string]string{"mine.one": "mine", "old.one": "old", "yours.one": "", "mine-too.one": "", "scratch": ""} {
		if got := ownerOf([]string{"mine", "old"}, name); got != of || ownerOf(nil, name) != "" {
			t.Errorf("%s is taken for one of %q", name, got)
		}
	}
}
