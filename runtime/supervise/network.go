package supervise

import (
	"context"
	"errors"

	"microagent/runtime/driver"
	"microagent/schema/spec"
)

// checkNetwork is the error of a run that is to have a network, which no supervisor of this version gives: it must not
// start without.
func (s *supervisor) checkNetwork() error {
	if s.spec.Network == nil {
		return nil
	}
	return &driver.Error{Class: driver.ErrUnsupported, Op: "start workspace", Object: s.spec.Workspace.Name,
		Err: errors.New("it asks for a network, which this microagent can't give yet"), Next: "to go without: --net none"}
}

// Permit refuses a run without a network; one with it was never started.
func (s calls) Permit(context.Context, *spec.Network) error {
	return &driver.Error{Class: driver.ErrRefused, Op: "change network of workspace", Object: s.spec.Workspace.Name,
		Err: errors.New("it runs without a network"), Next: "microagent halt " + s.spec.Workspace.Name}
}
