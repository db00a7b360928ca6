package control

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"microagent/runtime/driver"
)

func TestFailuresCrossAPipe(t *testing.T) {
	crash := &driver.CrashError{Workspace: "one", Phase: "boot", Reason: "kernel panic", Console: []string{"last"}}
	for _, err := range []error{
		&driver.Error{Class: driver.ErrBusy, Op: "attach volume", Object: "data", Err: errors.New("held"), Next: "microagent halt x"},
		&driver.Error{Class: driver.ErrNotFound, Op: "start", Object: "x"},
		fmt.Errorf("more: %w", &driver.Error{Class: driver.ErrStale, Op: "a", Object: "b", Err: errors.New("c"), Next: "d"}),
		fmt.Errorf("in the middle: %w", crash),
		errors.New("plain"),
	} {
		got := FailureOf(err).Error()
		if driver.ClassName(got) != driver.ClassName(err) {
			t.Errorf("%v: class %q is %q", err, driver.ClassName(err), driver.ClassName(got))
		}
		if driver.Next(got) != driver.Next(err) {
			t.Errorf("%v: next %q", err, driver.Next(got))
		}
		if !strings.HasSuffix(err.Error(), got.Error()) {
			t.Errorf("%q became %q", err, got)
		}
	}
	for name, class := range map[string]error{"guest": driver.ErrGuest, "unsupported": driver.ErrUnsupported, "busy": driver.ErrBusy} {
		if err := (&Failure{Class: name, Op: "x"}).Error(); !errors.Is(err, class) {
			t.Errorf("%q of an older supervisor is %v", name, err)
		}
	}
	if FailureOf(nil).Error() != nil {
		t.Error("no error became one")
	}
}
